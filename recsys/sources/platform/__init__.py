"""A platform's JSON API as a source: downloading its pages, keeping them, and making tables of them."""

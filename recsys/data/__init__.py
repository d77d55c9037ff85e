"""From raw tables to an `EventLog`: cleaning, id maps, strength, boundaries, feature encoders."""

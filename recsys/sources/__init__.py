"""Where tables come from; every source gives `Tables`."""

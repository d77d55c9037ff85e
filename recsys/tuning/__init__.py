"""Search over configurations: the sweeper behind `python train.py -m`, its studies and what they show."""

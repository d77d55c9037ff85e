"""The leaderboard: every model of a list, tuned and tested on every data set of a list, as one table."""

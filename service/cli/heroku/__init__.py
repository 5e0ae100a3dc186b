"""A front for Heroku's command line: it takes the place of the hosts that program insists on while it runs.

`surroundings` says what the child finds, `front` listens, `hosts` says who is answered and how, `authority` is why the
child believes it.
"""

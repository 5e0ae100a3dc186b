"""`git push` and `git clone` of an app's own repository, over git's smart HTTP.

`routes` says who may, `push` is the life of a push, `terminal` what the developer reads meanwhile, `repository` where
the objects are, `pkt` git's words on the wire, `program` how git itself is run: as a process beside the event loop.
"""

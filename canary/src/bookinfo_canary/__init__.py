"""The canary controller: steps, a gate between them, and the way back.

`cli` reads what is asked for; `controller` walks the steps; `gate` judges what `metrics` makes of what `sources` read;
`routes` is the one object that is changed, on one of the `targets`.
"""

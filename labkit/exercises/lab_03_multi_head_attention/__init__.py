"""Lab 3, multi-head attention.

B samples, h heads, T tokens (Tq queries, Tk keys), D width, d = D/h width of a head.
keep is boolean, True where a query may attend to a key.
"""

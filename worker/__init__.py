"""One photo id in, one prediction out. A CPU worker needs no torch: it runs the graph that publishing exported."""

"""`exosphere`: the client as a command. `arguments` reads the command line, `actions` does what it says."""

"""Where host work runs: strings, ragged rows, tables, and the shapes that choose a bucket."""

CPU = "/device:CPU:0"

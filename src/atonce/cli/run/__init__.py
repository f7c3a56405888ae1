"""`atonce run`: a program or a shell line for each line or row, with GNU parallel's grammar."""

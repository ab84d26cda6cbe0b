"""`python -m custodes` is the command `custodes`."""

from custodes.cli import main

if __name__ == "__main__":
    main()

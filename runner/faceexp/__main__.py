"""``python -m faceexp`` is ``faceexp``."""

from faceexp.cli import main

if __name__ == "__main__":
    main()

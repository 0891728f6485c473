"""`python -m vcluster.supervision.daemon`: supervisord, with our packages importable for it only."""

import os
import sys

from supervisor import supervisord


def main() -> None:
    """Run supervisord with this program's arguments."""
    os.environ.pop("PYTHONPATH", None)
    os.umask(0o077)
    supervisord.main(sys.argv[1:])


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""The wire scripts with the mh driver."""
import os
import sys

os.execv(sys.executable, [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "run-scripts.py"), "mh"])

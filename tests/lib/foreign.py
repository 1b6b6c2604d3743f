#!/usr/bin/python3
"""Another program at work on a mailbox: Python's mailbox module. foreign.py FORMAT PATH add|remove|flag WHICH"""
import mailbox
import sys

FORMATS = {"unix": mailbox.mbox, "maildir": mailbox.Maildir, "mh": mailbox.MH}


def turn_flag(kind, box, key):
    """Flagged becomes not flagged and the other way."""
    if kind == "mh":
        sequences = box.get_sequences()
        sequences["flagged"] = sorted(set(sequences.get("flagged", [])) ^ {key})
        box.set_sequences(sequences)
        return
    message = box[key]
    if "F" in message.get_flags():
        message.remove_flag("F")
    else:
        message.add_flag("F")
    box[key] = message


def main(kind, path, operation, which):
    box = FORMATS[kind](path, create=False)
    box.lock()
    if operation == "add":
        box.add(b"From: x@example.org\nSubject: foreign\n\ntext\n")
    keys = [k for k in sorted(box.keys(), key=str) if "X-IMAP" not in box[k] and "X-IMAPbase" not in box[k]]
    if operation != "add" and keys:
        key = keys[int(which) % len(keys)]
        if operation == "remove":
            box.remove(key)
        else:
            turn_flag(kind, box, key)
    box.flush()
    box.unlock()


main(*sys.argv[1:])

#!/usr/bin/python3
"""corpus.py MESSAGES FOLDER [SEED]: the same messages for every server, as an mbox and as a maildir.

Writes FOLDER/mbox, FOLDER/maildir (new, cur, tmp) and FOLDER/4k.eml, unless they are there. The same seed gives the
same octets. About 22 KiB a message on average: most are short plain text, some have HTML beside it (quoted-printable),
one in seven has base64 attachments; subjects and names have encoded words, replies name what they answer. Every
hundredth message holds RARE, every word of WORDS is in many.
"""
import base64
import os
import quopri
import random
import shutil
import sys
import time

VERSION = 3
RARE = "quetzalcoatlus"
WORDS = ("the of and to in is that for it with as was on be at by this have from or one had not but what all were when we "
         "there can an your which their said if do will each about how up out them then she many some so these would other "
         "into has more her two like him see time could no make than first been its who now people my made over did down "
         "only way find use may water long little very after words called just where most know budget report meeting "
         "schedule invoice mailbox server release draft agreement travel conference shipment warranty estimate").split()
TOPICS = ("budget report", "meeting on Tuesday", "release candidate", "shipment delayed", "invoice", "travel plans", "draft of the agreement",
          "warranty case", "conference talk", "disk is full", "Jahresabschluß", "réunion d'équipe", "планы на май", "見積書")
PEOPLE = [(f"{a} {b}", f"{a}.{b}@example.org".lower().replace("é", "e").replace("ü", "u"))
          for a in ("Anna", "Bertil", "Chloé", "David", "Erik", "Fatima", "Günther", "Hana") for b in ("Berg", "Costa", "Ito", "Meyer", "Novak")]
FIRST_DAY = 1577836800  # 2020-01-01


def encoded(text):
    return text if text.isascii() else "=?utf-8?B?" + base64.b64encode(text.encode()).decode() + "?="


class Writer:
    def __init__(self, count, seed):
        self.random = random.Random(seed)
        self.count = count
        self.paragraphs = [self.paragraph() for _ in range(400)]
        self.files = [base64.encodebytes(self.random.randbytes(n)) for n in (9000, 24000, 60000, 150000, 300000)]
        self.threads = []

    def paragraph(self):
        r, lines, line = self.random, [], ""
        for word in r.choices(WORDS, k=r.randrange(30, 90)):
            if len(line) + len(word) > 72:
                lines.append(line)
                line = ""
            line += (" " if line else "") + word
        return "\n".join(lines + [line]) + "\n"

    def text(self, octets):
        out, size = [], 0
        while size < octets:
            p = self.random.choice(self.paragraphs)
            out.append(p)
            size += len(p) + 1
        return "\n".join(out)

    def html(self, octets):
        text = self.text(octets).replace("\n\n", "</p>\n<p class=\"größe\">")
        return quopri.encodestring(f"<html><body><p>{text}</p></body></html>\n".encode())

    def thread(self, i):
        """(subject, In-Reply-To, References) of message i."""
        r = self.random
        if self.threads and r.random() < 0.6:
            subject, ids = r.choice(self.threads[-200:])
            if len(ids) < 12:
                before = list(ids)
                ids.append(f"<{i}.bench@example.org>")
                return "Re: " + subject, before[-1], before
        subject = f"{r.choice(TOPICS)} {r.randrange(1000)}"
        self.threads.append((subject, [f"<{i}.bench@example.org>"]))
        return subject, None, []

    def header(self, i, when):
        r = self.random
        (name, address), others = r.choice(PEOPLE), r.sample(PEOPLE, r.randrange(1, 5))
        subject, answered, references = self.thread(i)
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(when))
        lines = [f"Return-Path: <{address}>", "Delivered-To: bench@example.net"]
        for hop in range(r.randrange(2, 5)):
            lines.append(f"Received: from mx{hop}.example.org (mx{hop}.example.org [192.0.2.{r.randrange(255)}])\n"
                         f"\tby mail{hop}.example.net (Postfix) with ESMTPS id {r.getrandbits(40):010X}\n"
                         f"\tfor <bench@example.net>; {date}")
        lines += [f"Message-ID: <{i}.bench@example.org>", f"Date: {date}", f"From: {encoded(name)} <{address}>",
                  "To: " + ",\n ".join(f"{encoded(n)} <{a}>" for n, a in others), f"Subject: {encoded(subject)}"]
        if answered:
            lines += [f"In-Reply-To: {answered}", "References: " + "\n ".join(references)]
        lines += ["User-Agent: Corpus/1.0", "X-Spam-Status: No, score=-1.9 required=5.0 tests=BAYES_00,\n\tDKIM_VALID autolearn=ham", "MIME-Version: 1.0"]
        return address, "\n".join(lines) + "\n"

    def body(self, i):
        r, kind = self.random, self.random.random()
        plain = self.text(r.choice((300, 800, 1500, 3000, 6000)))
        if i % 100 == 7:
            plain += f"\nA {RARE} was seen.\n"
        if kind < 0.55:
            return b"Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\n" + plain.encode()
        if kind < 0.62:
            return b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + quopri.encodestring(("Grüße aus Köln\n\n" + plain).encode())
        mark = f"=_{i}_{r.getrandbits(48):012x}"
        part = f"--{mark}\n".encode()
        alternative = (part + b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + plain.encode() + b"\n" + part
                       + b"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
                       + self.html(r.choice((4000, 9000, 20000))) + b"\n" + f"--{mark}--\n".encode())
        if kind < 0.86:
            return f"Content-Type: multipart/alternative;\n boundary=\"{mark}\"\n\nThis has parts.\n".encode() + alternative
        outer = "out" + mark
        files = b""
        for f in range(r.choice((1, 1, 1, 2))):
            files += (f"--{outer}\nContent-Type: application/pdf; name=\"file{f}.pdf\"\nContent-Disposition: attachment;\n"
                      f" filename=\"file{f}.pdf\"\nContent-Transfer-Encoding: base64\n\n").encode() + r.choices(self.files, (4, 4, 3, 2, 1))[0] + b"\n"
        return (f"Content-Type: multipart/mixed;\n boundary=\"{outer}\"\n\n--{outer}\nContent-Type: multipart/alternative;\n boundary=\"{mark}\"\n\n".encode()
                + alternative + b"\n" + files + f"--{outer}--\n".encode())

    def messages(self):
        """(message, envelope sender, time, seen) of each."""
        for i in range(self.count):
            when = FIRST_DAY + i * 7200 % (5 * 365 * 86400)
            address, header = self.header(i, when)
            yield header.encode() + self.body(i), address, when, self.random.random() < 0.7


def write(count, folder, seed=1):
    stamp = f"{VERSION} {count} {seed}\n"
    try:
        with open(f"{folder}/stamp") as f:
            if f.read() == stamp:
                return
    except OSError:
        pass
    shutil.rmtree(folder, ignore_errors=True)
    for d in ("new", "cur", "tmp"):
        os.makedirs(f"{folder}/maildir/{d}")
    with open(f"{folder}/4k.eml", "wb") as f:
        w = Writer(1, seed)
        f.write((w.header(0, FIRST_DAY)[1] + "Content-Type: text/plain\n\n" + w.text(4096))[:4094].replace("\n", "\r\n").encode()[:4094] + b"\r\n")
    with open(f"{folder}/mbox", "wb") as mbox:
        for i, (message, address, when, seen) in enumerate(Writer(count, seed).messages()):
            crlf = len(message) + message.count(b"\n")
            name = f"cur/{when}.M{i:06}P1.bench,S={len(message)},W={crlf}:2,{'S' if seen else ''}"
            path = f"{folder}/maildir/{name}"
            with open(path, "wb") as f:
                f.write(message)
            os.utime(path, (when, when))
            mbox.write(f"From {address} {time.asctime(time.gmtime(when))}\n".encode())
            head, body = message.split(b"\n\n", 1)
            mbox.write(head + (b"\nStatus: RO\n\n" if seen else b"\nStatus: O\n\n") + body.replace(b"\nFrom ", b"\n>From ") + b"\n")
    with open(f"{folder}/stamp", "w") as f:
        f.write(stamp)


if __name__ == "__main__":
    write(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)

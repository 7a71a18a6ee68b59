"""Runs every command on models whose texts hold format characters of Unicode, and reads all it says.

  hidden.py LORT DIR

No line of stdout or stderr may hold a control or format character. JSON must give each name exactly.
"""
import json
import os
import pty
import struct
import subprocess
import sys
import unicodedata

LORT, PLACE = sys.argv[1:3]
FORMAT = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Cf", "Zl", "Zp")]
EVIL = "\u202e\u200b\U000e0041\ufeff\u00ad\u2066\u2028\u061c"  # also a part of every name of a file
NAMES = [f"blk.0.attn_q.{EVIL[:4]}.weight", f"out{EVIL[4:]}put.weight", "token_embd.weight\u200d"]
BAD = {c for c in map(chr, range(0x110000)) if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")} - {"\n"}
assert len(FORMAT) > 150


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(path, names, cols=40):
    rows = 64
    keys = [("general.architecture", "llama"), (f"a.{EVIL}", "value"), ("b.every", "".join(FORMAT)), ("b.word", EVIL)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(names), len(keys))
    for key, value in keys:
        head += string(key) + struct.pack("<I", 8) + string(value)
    for i, name in enumerate(names):
        head += string(name) + struct.pack("<IQQIQ", 2, cols, rows, 0, i * rows * cols * 4)
    head += b"\0" * (-len(head) % 32)
    write(path, head + values(rows * cols * len(names)))


def safetensors(path, names):
    head = {name: {"dtype": "F32", "shape": [64, 40], "data_offsets": [i * 10240, (i + 1) * 10240]} for i, name in enumerate(names)}
    head["__metadata__"] = {EVIL: "".join(FORMAT)}
    text = json.dumps(head, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write(path, struct.pack("<Q", len(text)) + text + values(2560 * len(names)))


def values(count):
    return b"".join(struct.pack("<f", ((i * 7919) % 1009 - 504) / 300) for i in range(count))


def write(path, content):
    with open(path, "wb") as out:
        out.write(content)


def check(text, args):
    found = BAD & set(text)
    assert not found, f"{args}: {[f'U+{ord(c):04X}' for c in found]} in {text[:400]!r}"


def run(code, *args):
    done = subprocess.run([LORT, *args], capture_output=True, timeout=120)
    out, err = done.stdout.decode(), done.stderr.decode()  # valid UTF-8, or this fails
    assert done.returncode == code, f"{args}: exit {done.returncode}, wanted {code}: {err}"
    check(out, args)
    check(err, args)
    return out + err


def on_terminal(*args):
    """Standard error is a terminal: the live line."""
    master, slave = pty.openpty()
    child = subprocess.Popen([LORT, *args], stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert child.wait() == 0, f"{args}: {seen}"
    check(seen.decode().replace("\r", "").replace("\x1b[K", ""), args)
    assert "\\xE2\\x80\\xAE" in seen.decode(), f"{args}: the name is not shown"


def names_of(report):
    with open(report, encoding="utf-8") as f:
        text = f.read()
    check(text, [report])  # \u escapes: harmless on a terminal too
    os.remove(report)
    return json.loads(text)


def commands(model, evil, names):
    """evil: the start of a path whose name holds format characters."""
    lort, back, report = f"{evil}.lort", f"{evil}.back", f"{evil}.json"
    assert "\\xE2\\x80\\xAE" in run(0, "inspect", model, "--json", report)
    seen = names_of(report)
    assert [t["name"] for t in seen["tensors"]] == names, [t["name"] for t in seen["tensors"]]
    assert seen["input"]["path"] == model
    meta = {m["key"]: m["value"] for m in seen["meta"]}
    assert "".join(FORMAT) in meta.values() and any(EVIL in key for key in meta)
    run(0, "plan", model, "-v", "--sample", "1")
    for options in (["--lossless"], ["--rank", "2"], ["--max-error", "0.1", "--include", "*"]):
        run(0, "compress", model, "-o", lort, "-v", "--force", *options, "--json", report)
        seen = names_of(report)
        assert sorted(t["name"] for t in seen["tensors"]) == sorted(names) and seen["output"]["path"] == lort
    run(0, "inspect", lort)
    run(0, "verify", lort)
    run(0, "compare", model, lort)
    run(0, "restore", lort, "-o", back, "--force")
    run(0, "inspect", back)
    assert os.path.isfile(back)
    on_terminal("compress", model, "-o", lort, "--force", "-v", "--lossless")
    on_terminal("inspect", lort)


def failures(model, evil):
    lort, missing = f"{evil}.lort", f"{evil}.none"
    for args in (["inspect", missing], ["plan", missing], ["verify", missing], ["restore", missing, "-o", f"{evil}.x"],
                 ["compare", missing, model], ["compress", model, "-o", f"{evil}.y", "--imatrix", missing]):
        run(3, *args)
    run(9, "compress", model, "-o", lort)
    run(9, "restore", lort, "-o", model)
    run(5, "compress", model, "-o", f"{evil}.none/{EVIL}", "-q")
    run(5, "inspect", model, "--json", f"{evil}.none/{EVIL}")
    run(2, "inspect", model, "--json", model)
    run(2, "restore", lort, "-o", f"{evil}.z", "--tensor", EVIL)
    run(2, "inspect", model, EVIL)
    run(2, EVIL)
    run(2, "inspect", f"--{EVIL}")
    run(2, "plan", model, "--rank", EVIL)
    for i, c in enumerate(FORMAT):
        if i % 12 == 0:  # each in a message of an error
            run(3, "inspect", "".join(FORMAT[i:i + 12]))
    with open(lort, "r+b") as f:
        f.seek(-3000, 2)
        f.write(bytes(64))
    run(8, "verify", lort)
    run(8, "restore", lort, "-o", f"{evil}.x")
    cut = f"{evil}.cut.gguf"
    with open(model, "rb") as f:
        write(cut, f.read()[:-100])
    run(3, "inspect", cut)
    gguf(cut, [NAMES[0], NAMES[0]])
    run(3, "inspect", cut)
    gguf(cut, NAMES[:1])
    run(3, "compare", cut, model)
    gguf(cut, NAMES, cols=33)
    run(3, "compare", model, cut)


def directory(place):
    """A model of several files, with side files of such names."""
    os.mkdir(place)
    shards = [f"m{EVIL[0]}1.safetensors", f"m{EVIL[1]}2.safetensors"]
    for shard, name in zip(shards, NAMES):
        safetensors(f"{place}/{shard}", [name])
    index = {"weight_map": {name: shard for shard, name in zip(shards, NAMES)}}
    write(f"{place}/model.safetensors.index.json", json.dumps(index).encode())
    write(f"{place}/side{EVIL}.txt", b"text")
    write(f"{place}/{EVIL}.part", b"left out")
    os.mkfifo(f"{place}/{EVIL}.fifo")
    run(0, "inspect", place)
    run(0, "compress", place, "-o", f"{place}.lort", "-v")
    run(0, "inspect", f"{place}.lort")
    run(0, "restore", f"{place}.lort", "-o", f"{place}.back")
    assert os.path.exists(f"{place}.back/side{EVIL}.txt"), os.listdir(f"{place}.back")
    assert os.path.exists(f"{place}.back/{shards[0]}")
    os.remove(f"{place}/{shards[1]}")
    run(3, "inspect", place)


def main():
    evil = f"{PLACE}/{EVIL}"
    gguf(f"{evil}.gguf", NAMES)
    commands(f"{evil}.gguf", evil, NAMES)
    failures(f"{evil}.gguf", evil)
    safetensors(f"{PLACE}/s{EVIL}.safetensors", NAMES)
    commands(f"{PLACE}/s{EVIL}.safetensors", f"{PLACE}/s{EVIL}", NAMES)
    directory(f"{PLACE}/d{EVIL}")


main()

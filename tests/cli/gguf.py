"""GGUF files for the tests of `lort quantize`: makes them, reads them, decodes ggml's block types.

Written from the formats' facts alone, so that it does not share an error with LoRT. Uses the standard library only."""
import array
import json
import math
import os
import random
import resource
import signal
import struct
import subprocess

LORT = os.environ.get("LORT", "build/release/lort")
# number, elements and bytes of a block
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34),
         "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "IQ4_NL": (20, 32, 18),
         "IQ4_XS": (23, 256, 136), "I8": (24, 1, 1), "I32": (26, 1, 4), "BF16": (30, 1, 2)}
NAMES = {number: name for name, (number, _, _) in TYPES.items()}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14,
              "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32}
NUMBERS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "text": 8, "array": 9, "u64": 10, "i64": 11, "f64": 12}
PACKS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
KEYS = [("general.architecture", "text", "llama"), ("general.name", "text", "a test \u00e9"), ("llama.block_count", "u32", 2),
        ("llama.attention.head_count", "u32", 4), ("llama.rope.freq_base", "f32", 10000.0), ("general.file_type", "u32", 1),
        ("tokenizer.ggml.tokens", "array", ("text", ["<s>", "", "\u00e9", "long " * 20])), ("tokenizer.ggml.scores", "array", ("f32", [0.0, -1.5])),
        ("a.flag", "bool", 1), ("a.byte", "u8", 200), ("a.big", "i64", -(2**62)), ("a.real", "f64", math.pi), ("a.none", "array", ("i32", []))]


# ---- making ----

def gauss(count, seed=0, scale=0.05):
    draw = random.Random(seed)
    return [draw.gauss(0, scale) for _ in range(count)]


def encode(kind, values):
    """The bytes of plain numbers. Halves may be nan and inf."""
    if kind == "F32":
        return array.array("f", values).tobytes()
    if kind == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    if kind == "BF16":
        words = array.array("I", array.array("f", values).tobytes())
        return array.array("H", [(w + 0x8000) >> 16 if w & 0x7F800000 != 0x7F800000 else w >> 16 for w in words]).tobytes()
    raise ValueError(kind)


def bytes_of(kind, elements):
    _, block, size = TYPES[kind]
    return elements // block * size


class Maker:
    """Writes a GGUF file. Tensors are (name, shape with the longest stride first, type, values or bytes)."""

    def __init__(self, version=3, order="<", align=None, keys=None):
        self.version, self.order, self.align = version, order, align or 32
        self.keys = list(KEYS if keys is None else keys)
        if align:
            self.keys.append(("general.alignment", "u32", align))

    def pack(self, how, *values):
        return struct.pack(self.order + how, *values)

    def count(self, n):
        return self.pack("I" if self.version == 1 else "Q", n)

    def text(self, s):
        data = s if isinstance(s, bytes) else s.encode()
        return self.count(len(data)) + data

    def value(self, kind, value):
        if kind == "text":
            return self.text(value)
        if kind == "array":
            inner, items = value
            return self.pack("I", NUMBERS[inner]) + self.count(len(items)) + b"".join(self.value(inner, i) for i in items)
        return self.pack(PACKS[NUMBERS[kind]], value)

    def write(self, path, tensors):
        head = b"GGUF" + self.pack("I", self.version) + self.count(len(tensors)) + self.count(len(self.keys))
        for key, kind, value in self.keys:
            head += self.text(key) + self.pack("I", NUMBERS[kind]) + self.value(kind, value)
        pieces, at = [], 0
        for name, shape, kind, values in tensors:
            number = kind if isinstance(kind, int) else TYPES[kind][0]
            data = values if isinstance(values, bytes) else encode(kind, values)
            dims = "I" if self.version == 1 else "Q"
            head += self.text(name) + self.pack("I", len(shape)) + b"".join(self.pack(dims, d) for d in reversed(shape)) + self.pack("IQ", number, at)
            pieces.append(data + bytes(-len(data) % self.align))
            at += len(pieces[-1])
        with open(path, "wb") as out:
            out.write(head + bytes(-len(head) % self.align) + b"".join(pieces))


def write(path, tensors, **how):
    Maker(**how).write(path, tensors)


def small(kind="F16", seed=1, layers=2, wide=256, scale=0.05):
    """The tensors of a small model: every kind of matrix, and rows of 256 and of 128."""
    shapes = [("token_embd.weight", [48, wide]), ("output_norm.weight", [wide]), ("output.weight", [48, wide])]
    for i in range(layers):
        shapes += [(f"blk.{i}.attn_norm.weight", [wide])]
        shapes += [(f"blk.{i}.{n}.weight", [32, wide]) for n in ("attn_q", "attn_k", "attn_v", "attn_output")]
        shapes += [(f"blk.{i}.ffn_gate.weight", [128, wide]), (f"blk.{i}.ffn_up.weight", [128, wide]), (f"blk.{i}.ffn_down.weight", [wide, 128])]
    return [(name, shape, "F32" if len(shape) == 1 else kind, gauss(math.prod(shape), f"{seed} {name}", scale)) for name, shape in shapes]


def legacy_imatrix(path, entries):
    """entries: (name, values of all slices)."""
    with open(path, "wb") as out:
        out.write(struct.pack("<i", len(entries)))
        for name, values in entries:
            out.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, len(values)) + struct.pack(f"<{len(values)}f", *values))


# ---- reading ----

class Tensor:
    def __init__(self, name, shape, number, at):
        self.name, self.shape, self.number, self.at = name, shape, number, at
        self.type = NAMES.get(number, f"type{number}")
        self.elements = math.prod(shape)


class File:
    """A little-endian GGUF file. pairs: (key, bytes of type and value, value)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        assert self.data[:4] == b"GGUF", path
        self.at = 4
        self.version, count, pairs = self.take("I"), self.take("Q"), self.take("Q")
        self.pairs = [self.pair() for _ in range(pairs)]
        self.keys = {key: value for key, _, value in self.pairs}
        self.tensors = []
        for _ in range(count):
            name, dims = self.string(), [self.take("Q") for _ in range(self.take("I"))]
            self.tensors.append(Tensor(name, dims[::-1], self.take("I"), self.take("Q")))
        self.align = self.keys.get("general.alignment", 32)
        self.start = self.at + -self.at % self.align
        self.header_end = self.at
        self.by_name = {t.name: t for t in self.tensors}

    def take(self, how):
        value = struct.unpack_from("<" + how, self.data, self.at)[0]
        self.at += struct.calcsize("<" + how)
        return value

    def string(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8", "surrogateescape")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, count = self.take("I"), self.take("Q")
            return [self.value(inner) for _ in range(count)]
        return self.take(PACKS[kind])

    def pair(self):
        key, at = self.string(), self.at
        value = self.value(self.take("I"))
        return key, self.data[at:self.at], value

    def bytes(self, name):
        t = self.by_name[name]
        return self.data[self.start + t.at:self.start + t.at + bytes_of(t.type, t.elements)]

    def values(self, name):
        return decode(self.by_name[name].type, self.bytes(name))

    def check_layout(self):
        """ggml's rules: each tensor begins where the padded one before it ends, and the file ends so. Padding is zeros."""
        at = 0
        assert not any(self.data[self.header_end:self.start])
        for t in self.tensors:
            assert t.at == at, (t.name, t.at, at)
            _, block, _ = TYPES[t.type]
            assert t.shape[-1] % block == 0, (t.name, t.type, t.shape)
            end = at + bytes_of(t.type, t.elements)
            at = end + -end % self.align
            assert not any(self.data[self.start + end:self.start + at]), t.name
        assert len(self.data) == self.start + at, (len(self.data), self.start + at)


# ---- decoding ----

LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def half(b, at):
    return struct.unpack_from("<e", b, at)[0]


def nibbles(b):
    return [x & 15 for x in b] + [x >> 4 for x in b]


def fifth_bits(b):
    word = int.from_bytes(b, "little")
    return [16 * (word >> i & 1) for i in range(32)]


def of_32(kind, b):
    if kind == "Q8_0":
        d = half(b, 0)
        return [d * q for q in struct.unpack_from("<32b", b, 2)]
    d, m = half(b, 0), half(b, 2) if kind in ("Q4_1", "Q5_1") else 0
    at = 4 if kind in ("Q4_1", "Q5_1") else 2
    if kind in ("Q5_0", "Q5_1"):
        q = [low + high for low, high in zip(nibbles(b[at + 4:]), fifth_bits(b[at:at + 4]))]
    else:
        q = nibbles(b[at:])
    if kind == "IQ4_NL":
        return [d * LEVELS[x] for x in q]
    shift = {"Q4_0": 8, "Q5_0": 16}.get(kind, 0)
    return [d * (x - shift) + m for x in q]


def two_bits(b):
    """Codes of 2 bits as K-quants place them: 128 elements from 32 bytes, the lowest bits first."""
    return [b[32 * h + i] >> 2 * j & 3 for h in (0, 1) for j in range(4) for i in range(32)]


def scales_and_mins(b):
    """The 12 bytes of Q4_K and Q5_K."""
    out = [(b[j] & 63, b[j + 4] & 63) for j in range(4)]
    return out + [(b[j + 4] & 15 | b[j - 4] >> 6 << 4, b[j + 4] >> 4 | b[j] >> 6 << 4) for j in range(4, 8)]


def q2_k(b):
    d, dmin, q = half(b, 80), half(b, 82), two_bits(b[16:80])
    return [d * (b[i // 16] & 15) * x - dmin * (b[i // 16] >> 4) for i, x in enumerate(q)]


def q3_k(b):
    d, low, packed = half(b, 108), two_bits(b[32:96]), b[96:108]
    scales = [(packed[i % 8] >> 4 * (i // 8) & 15 | (packed[8 + i % 4] >> 2 * (i // 4) & 3) << 4) - 32 for i in range(16)]
    return [d * scales[i // 16] * (x - (0 if b[i % 32] >> i // 32 & 1 else 4)) for i, x in enumerate(low)]


def q45_k(kind, b):
    d, dmin, pairs = half(b, 0), half(b, 2), scales_and_mins(b[4:16])
    qs = b[48:] if kind == "Q5_K" else b[16:]
    q = [x for g in range(4) for x in nibbles(qs[32 * g:32 * g + 32])]
    if kind == "Q5_K":
        q = [x + 16 * (b[16 + i % 32] >> i // 32 & 1) for i, x in enumerate(q)]
    return [d * pairs[i // 32][0] * x - dmin * pairs[i // 32][1] for i, x in enumerate(q)]


def q6_k(b):
    d, scales, out = half(b, 208), struct.unpack_from("<16b", b, 192), []
    for i in range(256):
        h, j, k = i // 128, i % 128 // 32, i % 32
        low = b[64 * h + 32 * (j % 2) + k] >> 4 * (j // 2) & 15
        out.append(d * scales[i // 16] * ((low | (b[128 + 32 * h + k] >> 2 * j & 3) << 4) - 32))
    return out


def iq4_xs(b):
    d, high, out = half(b, 0), b[2] | b[3] << 8, []
    for j in range(8):
        scale = d * ((b[4 + j // 2] >> 4 * (j % 2) & 15 | (high >> 2 * j & 3) << 4) - 32)
        out += [scale * LEVELS[x] for x in nibbles(b[8 + 16 * j:24 + 16 * j])]
    return out


BLOCKS = {"Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": lambda b: q45_k("Q4_K", b), "Q5_K": lambda b: q45_k("Q5_K", b), "Q6_K": q6_k, "IQ4_XS": iq4_xs}


def decode(kind, data):
    if kind == "F32":
        return list(array.array("f", data))
    if kind == "F16":
        return list(struct.unpack(f"<{len(data) // 2}e", data))
    if kind == "BF16":
        return list(array.array("f", array.array("I", [w << 16 for w in array.array("H", data)]).tobytes()))
    size = TYPES[kind][2]
    decoder = BLOCKS.get(kind) or (lambda b: of_32(kind, b))
    return [x for at in range(0, len(data), size) for x in decoder(data[at:at + size])]


def relative(x, y, weights=None):
    """The relative error of y. weights: of the columns."""
    w = [weights[i % len(weights)] for i in range(len(x))] if weights else [1] * len(x)
    below = math.fsum(c * a * a for a, c in zip(x, w))
    return math.sqrt(math.fsum(c * (a - b)**2 for a, b, c in zip(x, y, w)) / below) if below else 0


# ---- running ----

class Ran:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err
        self.report = None

    def warnings(self, part=""):
        return [line for line in self.err.splitlines() if line.startswith("lort: warning: ") and part in line]


def run(*words, code=0, env=None):
    """Runs lort. A negative code is a signal's."""
    done = subprocess.run([LORT, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          env={**os.environ, **(env or {})})
    ran = Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    assert code is None or ran.code == code, f"exit {ran.code}, wanted {code}: {' '.join(map(str, words))}\n{ran.err[-2000:]}"
    return ran


def quantize(source, out, *words, code=0):
    """Quantises with a JSON report beside the output. Returns what was said, with the report."""
    ran = run("quantize", source, "-o", out, "--json", f"{out}.json", *words, code=code)
    if os.path.exists(f"{out}.json"):
        with open(f"{out}.json", encoding="utf-8") as file:
            ran.report = json.load(file)
        os.remove(f"{out}.json")
        ran.tensors = {t["name"]: t for t in ran.report.get("tensors", [])}
    return ran


def tiled(shape, seed, kind="F16"):
    """Bytes of many weights, soon made: one random row of blocks, turned by another amount each time."""
    elements, base = math.prod(shape), encode(kind, gauss(1 << 15, seed))
    size = TYPES[kind][2]
    return b"".join(base[size * (37 * i % 1000):] + base[:size * (37 * i % 1000)] for i in range(-(-elements // (1 << 15))))[:size * elements]


def large():
    """Tensors of several pieces (2^18 weights each), and of less than one, of every kind."""
    shapes = [("token_embd.weight", [1100, 512]), ("output_norm.weight", [512]), ("blk.0.attn_norm.weight", [512]), ("blk.0.attn_q.weight", [1500, 512]),
              ("blk.0.attn_v.weight", [96, 512]), ("blk.0.ffn_up_exps.weight", [3, 300, 512]), ("blk.0.ffn_down.weight", [512, 160]), ("blk.0.odd.weight", [700, 500])]
    return [(name, shape, "F16", tiled(shape, name)) if len(shape) > 1 else (name, shape, "F32", gauss(shape[0], name)) for name, shape in shapes]


def cut(source, out, at, *words):
    """A run whose disk is full after `at` bytes. Returns the run: it is finished, or the work so far lies beside the output."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    done = subprocess.run([LORT, "quantize", source, "-o", out, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, preexec_fn=limit)
    assert done.returncode in (0, 5), done.stderr
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))

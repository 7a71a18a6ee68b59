// Does `lort inspect` agree with Hugging Face's GGUF parser?
//   node hf_inspect.mjs LORT FILE.gguf ...     (run where node_modules holds @huggingface/gguf; docs/TESTING.md says how)
// Compares version, every metadata value (arrays by length), and every tensor's name, shape, type, offset. "N passed, N failed".
import {gguf, GGMLQuantizationType} from "@huggingface/gguf";
import {execFileSync} from "node:child_process";

const [lort, ...files] = process.argv.slice(2);
let passed = 0, failed = 0;

// JSON has no NaN or Inf, and prints floats as doubles: a float32 agrees when it rounds to the same float32.
const same = (kind, ours, theirs) => {
  if (kind.startsWith("float") && (ours === null || theirs === null)) return ours === null && (theirs === null || !Number.isFinite(theirs));
  if (kind === "float32") return Math.fround(ours) === Math.fround(theirs);
  if (kind === "string") return ours === theirs.replace(/\\/g, "\\x5C").replace(/[\u0000-\u001f\u007f]/g, c => "\\x" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));
  return String(ours) === String(theirs);
};

const agrees = (m, value) => Array.isArray(value) ? m.count === value.length : same(m.type, m.value, value);

const differences = async file => {
  const theirs = await gguf(file, {allowLocalFile: true});
  const ours = JSON.parse(execFileSync(lort, ["inspect", file, "--json", "-"], {maxBuffer: 1 << 30, stdio: ["ignore", "pipe", "ignore"]}));
  const out = [];
  const check = (what, ok, a, b) => ok || out.push(`${what}: lort ${a}, parser ${b}`);
  check("version", ours.input.version === theirs.metadata.version, ours.input.version, theirs.metadata.version);
  const keys = Object.keys(theirs.metadata).filter(k => !["version", "tensor_count", "kv_count"].includes(k));
  const split = /-\d{5}-of-\d{5}\.gguf$/.test(file); // lort lists the whole model, the parser this shard only
  const metas = split ? keys.map(k => ours.meta.find(m => m.key === k && agrees(m, theirs.metadata[k])) ?? {key: k, missing: true}) : ours.meta;
  check("keys", keys.length === metas.length, metas.length, keys.length);
  for (const m of metas) {
    if (m.missing && !Array.isArray(theirs.metadata[m.key])) out.push(`${m.key}: not listed`);
    if (m.missing) continue;
    const value = theirs.metadata[m.key];
    if (value === undefined) out.push(`${m.key}: not in the parser's metadata`);
    else check(m.key, agrees(m, value), m.value ?? m.count, value);
  }
  const tensors = ours.tensors.filter(t => !split || file.endsWith(t.file));
  check("tensors", tensors.length === theirs.tensorInfos.length, tensors.length, theirs.tensorInfos.length);
  const byName = new Map(tensors.map(t => [t.name, t]));
  for (const t of theirs.tensorInfos) {
    const mine = byName.get(t.name);
    if (!mine) { out.push(`${t.name}: not listed`); continue; }
    const shape = [...t.shape].reverse().join(), offset = theirs.tensorDataOffset + t.offset;
    check(t.name + " shape", mine.shape.join() === shape, mine.shape, shape);
    check(t.name + " type", mine.dtype === GGMLQuantizationType[t.dtype], mine.dtype, GGMLQuantizationType[t.dtype]);
    check(t.name + " offset", String(mine.offset) === String(offset), mine.offset, offset);
  }
  return out;
};

for (const file of files) {
  const found = await differences(file).catch(e => [e.message]);
  console.log(found.length ? `FAILED ${file}: ${found.slice(0, 5).join("; ")}` : `ok ${file}`);
  found.length ? failed++ : passed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

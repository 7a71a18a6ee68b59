// Perplexity as llama-perplexity counts it: whole windows one behind the other, the first token of each replaced by BOS, and of each the second half scored, which has
// half a window of context at least. One JSON line per model, with the sum of -ln p, the divergence KL(first model, this one) and the number of tokens of every window.
//
//   LORT_ORACLE=FOLDER node tests/models/perplexity.mjs TEXT CONTEXT MODEL.gguf ...
//
// FOLDER holds node_modules/node-llama-cpp.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [text, context, ...models] = process.argv.slice(2);
const library = path.join(process.env.LORT_ORACLE ?? ".", "node_modules/node-llama-cpp/dist/index.js");
const { getLlama } = await import(pathToFileURL(path.resolve(library)).href);
const llama = await getLlama({ build: "never", gpu: false, skipDownload: true, logLevel: "error" });
const first = []; // probabilities by the first model, a row per scored token

async function windowLoss(sequence, tokens, from, place) {
    await sequence.clearHistory();
    const steps = await sequence.controlledEvaluate(
        tokens.map((token, i) => (i >= from && i < tokens.length - 1 ? [token, { generateNext: { probabilities: true } }] : token)));
    let loss = 0, divergence = 0;
    for (let i = from; i < tokens.length - 1; i++) {
        const given = steps[i].next.probabilities;
        loss -= Math.log(given.get(tokens[i + 1]));
        const base = (first[place + i - from] ??= Float64Array.from({ length: given.size }, (_, token) => given.get(token)));
        for (const [token, p] of given)
            if (base[token] > 0)
                divergence += base[token] * Math.log(base[token] / Math.max(p, 1e-30));
    }
    return [loss, divergence];
}

for (const file of models) {
    const model = await llama.loadModel({ modelPath: file });
    const size = Math.min(model.trainContextSize, Number(context));
    const sequence = (await model.createContext({ contextSize: size, threads: 1, batchSize: size })).getSequence();
    const tokens = model.tokenize(fs.readFileSync(text, "utf8")), loss = [], kl = [], count = [];
    for (let i = 0, place = 0; i + size <= tokens.length; i += size, place += size / 2 - 1) {
        const [l, d] = await windowLoss(sequence, [model.tokens.bos, ...tokens.slice(i + 1, i + size)], size / 2, place);
        loss.push(l);
        kl.push(d);
        count.push(size / 2 - 1);
    }
    console.log(JSON.stringify({ file, loss, kl, count }));
    await model.dispose();
}
await llama.dispose();

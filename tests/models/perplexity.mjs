// Perplexity as llama-perplexity counts it: whole windows one behind the other, the first token of each replaced by BOS, and of each the second half scored, which has
// half a window of context at least. One JSON line per model, with the sum of -ln p and the number of tokens of every window.
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

async function windowLoss(sequence, tokens, from) {
    await sequence.clearHistory();
    const steps = await sequence.controlledEvaluate(
        tokens.map((token, i) => (i >= from && i < tokens.length - 1 ? [token, { generateNext: { probabilities: true } }] : token)));
    let loss = 0;
    for (let i = from; i < tokens.length - 1; i++)
        loss -= Math.log(steps[i].next.probabilities.get(tokens[i + 1]));
    return loss;
}

for (const file of models) {
    const model = await llama.loadModel({ modelPath: file });
    const size = Math.min(model.trainContextSize, Number(context));
    const sequence = (await model.createContext({ contextSize: size, threads: 1, batchSize: size })).getSequence();
    const tokens = model.tokenize(fs.readFileSync(text, "utf8")), loss = [], count = [];
    for (let i = 0; i + size <= tokens.length; i += size) {
        loss.push(await windowLoss(sequence, [model.tokens.bos, ...tokens.slice(i + 1, i + size)], size / 2));
        count.push(size / 2 - 1);
    }
    console.log(JSON.stringify({ file, loss, count }));
    await model.dispose();
}
await llama.dispose();

/** A training that does nothing but count, resume and save: for tests of what happens around it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes `train.mjs` into the project; `params`: { steps, ms } per run. Every fifth step is a checkpoint. */
export function writeStepper(project: string): string[] {
  writeFileSync(join(project, "train.mjs"), STEPPER);
  return ["node", "train.mjs"];
}

/** The program itself; it says `begins at N`, `stopped at N` and `done at N`. */
export const STEPPER = `
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
const { VASTLANE_PARAMS, VASTLANE_CHECKPOINT_DIR: into, VASTLANE_RESUME_FROM: resume, VASTLANE_LOG_DIR: logs } = process.env;
const { steps, ms = 50 } = JSON.parse(VASTLANE_PARAMS);
let step = resume ? JSON.parse(readFileSync(resume + "/state.json", "utf8")).step : 0;
console.log("begins at", step);
let stop = false;
process.on("SIGTERM", () => { stop = true; });
function save() {
  mkdirSync(into + "/.tmp-" + step, { recursive: true });
  writeFileSync(into + "/.tmp-" + step + "/state.json", JSON.stringify({ step }));
  if (!existsSync(into + "/step-" + step)) renameSync(into + "/.tmp-" + step, into + "/step-" + step);
}
mkdirSync(logs, { recursive: true });
while (step < steps) {
  step += 1;
  await new Promise((resolve) => setTimeout(resolve, ms));
  appendFileSync(logs + "/metrics.jsonl", JSON.stringify({ step, loss: 1 / step, time: Date.now() / 1000 }) + "\\n");
  if (stop) { save(); console.log("stopped at", step); process.exit(143); }
  if (step % 5 === 0) save();
}
console.log("done at", step);
`;

/**
 * `npm run kills -- [--count N] [--seed N] [--matrix]`: kills Pulumi at N seeded random moments of `up` and `destroy`
 * (or at every numbered point with every victim and recovery) and prints what went wrong, if anything.
 */
import { parseArgs } from "node:util";
import { type KillCase, killOnce, RECOVERIES, VICTIMS } from "../helpers/kills.ts";
import { makeProject } from "../helpers/project.ts";

const UP_POINTS = ["rent-intended", "rent-sent", "rent-answered", "rent-recorded", "running", "key-attached", "ready"];
const DESTROY_POINTS = ["destroy-intended", "destroy-sent", "destroy-proven", "sweep-begun", "sweep-done"];
/** Longer than either takes here, so that the whole of it is hit. */
const SPAN_MS = { up: 5000, destroy: 2500 };

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    matrix: { type: "boolean" },
  },
});

const cases = values.matrix ? matrix() : atRandom(Number(values.count), Number(values.seed));
const project = await makeProject();
let failed = 0;
process.on("SIGINT", () => void project.dispose().then(() => process.exit(130)));
try {
  for (const [i, kill] of cases.entries()) {
    const wrong = await killOnce(project, kill);
    if (wrong.length > 0) failed++;
    const at = typeof kill.at === "number" ? `${kill.at} ms` : kill.at;
    process.stdout.write(
      `${String(i + 1).padStart(3)}/${cases.length} ${kill.verb} at ${at}, ${kill.victim}, then ${kill.recovery}: ${wrong.length === 0 ? "ok" : wrong.join("\n      ")}\n`,
    );
  }
} finally {
  await project.dispose();
}
process.stdout.write(`${cases.length - failed} passed, ${failed} failed (seed ${values.seed})\n`);
process.exitCode = failed === 0 ? 0 : 1;

function matrix(): KillCase[] {
  const points = [
    ...UP_POINTS.map((at) => ({ verb: "up" as const, at })),
    ...DESTROY_POINTS.map((at) => ({ verb: "destroy" as const, at })),
  ];
  return points.flatMap((point) =>
    VICTIMS.flatMap((victim) => RECOVERIES.map((recovery) => ({ ...point, victim, recovery }))),
  );
}

function atRandom(count: number, seed: number): KillCase[] {
  const random = mulberry32(seed);
  return Array.from({ length: count }, (_, i) => {
    const verb = random() < 0.65 ? "up" : "destroy";
    return {
      verb,
      at: Math.round(random() * SPAN_MS[verb]),
      victim: VICTIMS[Math.floor(random() * VICTIMS.length)] ?? "both",
      recovery: i % 2 === 0 ? "vastlane destroy" : "pulumi destroy",
    };
  });
}

/** A small seeded generator (Tommy Ettinger's mulberry32, public domain). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

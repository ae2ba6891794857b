/**
 * A run with a store to its end and beyond: it ends its machine, stays ended at every `up`, and begins anew when asked.
 * What cheaper tests cannot show is that program and agent read the same record in the same way.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { type Finished, makeProject, type TestProject } from "../helpers/project.ts";

/** Thirty steps, a checkpoint every ten; says in its last checkpoint from which step this start began. */
const TRAIN = `
step=0
[ -z "$VASTLANE_RESUME_FROM" ] || step=$(cat "$VASTLANE_RESUME_FROM/step")
began=$step
while [ $step -lt 30 ]; do
  step=$((step + 1)); sleep 0.05
  [ $((step % 10)) = 0 ] || continue
  into=$VASTLANE_CHECKPOINT_DIR/.new-$step
  mkdir -p "$into" && echo $step >"$into/step" && echo $began >"$into/began"
  mv "$into" "$VASTLANE_CHECKPOINT_DIR/$(printf 'step-%08d' $step)"
done
`;

let project: TestProject;
beforeAll(async () => {
  project = await makeProject();
  writeFileSync(join(project.root, "train.sh"), TRAIN);
  project.configure({
    checkpoint: { store: "s3", s3_bucket: "checkpoints" },
    experiment: { command: ["sh", "train.sh"] },
  });
}, 60_000);
afterAll(() => project?.dispose());

async function ok(run: Promise<Finished>): Promise<string> {
  const { code, stdout, stderr } = await run;
  expect(code, stdout + stderr).toBe(0);
  return stdout;
}

/** The machine ends itself: nobody here does anything. */
async function untilNothingIsRented(): Promise<void> {
  const end = Date.now() + 90_000;
  while ((await project.alive()).length > 0) {
    if (Date.now() > end) throw new Error("the machine of a finished run does not end");
    await delay(200);
  }
}

const rents = async () => (await project.market.contracts()).length;

describe("a run that comes to its end", () => {
  test("ends its machine, and no `up` rents another one", async () => {
    await ok(project.vastlane(["up"]));
    await untilNothingIsRented();
    const up = await ok(project.vastlane(["up"]));
    expect(up).toMatch(/^Nothing is rented for run test\/train: it is done/);
    await ok(project.pulumi(["up", "--yes", "--skip-preview"]));
    expect(await rents()).toBe(1);
    const { checkpoints } = JSON.parse(await ok(project.vastlane(["checkpoints", "ls", "--json"])));
    expect(checkpoints[0]).toMatchObject({ step: 30, epoch: 1 });
  });

  test("begins anew with --fresh, from the beginning, and keeps what it had", async () => {
    await ok(project.vastlane(["up", "--fresh"]));
    await untilNothingIsRented();
    expect(await rents()).toBe(2);
    const got = ["checkpoints", "get", "latest", join(project.root, "got"), "--json"];
    const { folder } = JSON.parse(await ok(project.vastlane(got)));
    expect(readFileSync(join(folder, "step"), "utf8")).toBe("30\n");
    expect(readFileSync(join(folder, "began"), "utf8")).toBe("0\n");
    const { checkpoints } = JSON.parse(await ok(project.vastlane(["checkpoints", "ls", "--all", "--json"])));
    expect(checkpoints.map(({ step, epoch }: { step: number; epoch: number }) => [step, epoch])).toEqual(
      expect.arrayContaining([
        [30, 1],
        [30, 2],
      ]),
    );
    const outputs = JSON.parse(await ok(project.pulumi(["stack", "output", "--json"])));
    expect(outputs.runId).toBe("test/train");
  });

  test("changed parameters are another task: the next `up` rents for it, from the beginning", async () => {
    project.configure({
      checkpoint: { store: "s3", s3_bucket: "checkpoints" },
      experiment: { command: ["sh", "train.sh"], params: { seed: 2 } },
    });
    await ok(project.vastlane(["up"]));
    await untilNothingIsRented();
    expect(await rents()).toBe(3);
  });

  test("is destroyed with its checkpoints kept and named", async () => {
    const said = await ok(project.vastlane(["destroy"]));
    expect(said).toMatch(/Kept: bucket checkpoints at .* below checkpoints\/test\/ \(\d+ objects\)/);
    expect(await project.alive()).toEqual([]);
  });
});

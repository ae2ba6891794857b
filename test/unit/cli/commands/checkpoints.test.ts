import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkpoints } from "../../../../cli/commands/checkpoints.ts";
import { publishFolder } from "../../../../runtime/checkpoint/index.ts";
import { readLineage } from "../../../../runtime/lease/index.ts";
import { plainFolder } from "../../../helpers/checkpoint-folders.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { testIo } from "../../../helpers/io.ts";
import { tenure } from "../../../helpers/lease.ts";
import { type MemoryStore, memoryStore } from "../../../helpers/memory-store.ts";

let root: string;
let store: MemoryStore;
let opened: unknown[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-checkpoints-"));
  store = memoryStore();
  opened = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function put(step: number, loss: number, epoch = 1): Promise<string> {
  const folder = plainFolder(join(root, "local"), `step-${step}`, { "a.bin": "A".repeat(step) });
  const run = { runId: "dev/gpt", experiment: null, contentHash: "" };
  const outgoing = join(root, "outgoing");
  const clock = fakeClock(Date.UTC(2026, 0, 1, 0, 0, step));
  return (await publishFolder({ store, tenure: tenure(epoch), clock, folder, outgoing, run, metrics: { loss } })).id;
}

async function run(...args: string[]) {
  const io = testIo({ cwd: root });
  const open = (stack: string, name: string | undefined) => {
    opened.push([stack, name]);
    return { runId: name ?? `${stack}/gpt`, store, close: () => opened.push("closed") };
  };
  const code = await checkpoints(args, io, open);
  return { code, out: io.out, err: io.err };
}

describe("ls", () => {
  test("shows the lineage, newest first, and says that there is more", async () => {
    await put(100, 2.34567);
    await put(2000, 1.5);
    await store.put("checkpoints/step-00000300.e00001/a.bin", "AAA");
    const { out } = await run("ls");
    expect(out.replaceAll(/[\d.]+ (KiB|B)/g, "N $1")).toMatchInlineSnapshot(`
      "CHECKPOINT            STEP  EPOCH     SIZE  MADE                 METRICS
      step-00002000.e00001  2000      1  N KiB  2026-01-01 00:33:20  loss 1.5    newest
      step-00000100.e00001   100      1    N B  2026-01-01 00:01:40  loss 2.346
      1 more that no machine goes on from: --all shows them.
      "
    `);
    expect(opened).toEqual([["local", undefined], "closed"]);
  });

  test("shows what no machine goes on from when asked", async () => {
    await put(100, 2);
    await store.put("checkpoints/step-00000300.e00001/a.bin", "AAA");
    const { out } = await run("ls", "--all");
    expect(out).toContain(
      "step-00000300.e00001   300      1    3 B  -                    -        unfinished: it has no manifest",
    );
  });

  test("has everything as JSON", async () => {
    const id = await put(100, 2);
    const { out } = await run("ls", "--json", "--stack", "dev", "--run", "dev/other");
    expect(JSON.parse(out)).toEqual({
      run: "dev/other",
      store: "memory://store",
      checkpoints: [
        {
          id,
          step: 100,
          epoch: 1,
          bytes: expect.any(Number),
          time: "2026-01-01T00:01:40.000Z",
          metrics: { loss: 2 },
          parent: null,
          files: [{ path: "a.bin", bytes: 100, sha256: expect.any(String), crc32: expect.any(String) }],
          isHead: true,
          isInLineage: true,
          problem: null,
        },
      ],
    });
    expect(opened[0]).toEqual(["dev", "dev/other"]);
  });

  test("says when there is none", async () => {
    expect((await run("ls")).out).toBe("Run local/gpt has no checkpoint in memory://store.\n");
  });
});

describe("get", () => {
  test("fetches the newest that is whole, and says what it passed over", async () => {
    await put(100, 2);
    const damaged = await put(200, 1);
    await store.put(`checkpoints/${damaged}/a.bin`, "");
    const { out, err } = await run("get", "latest");
    expect(out).toBe(`step-00000100.e00001 is whole, in ${join(root, "checkpoints", "step-100")}\n`);
    expect(err).toContain(`checkpoint ${damaged} is damaged (a.bin: it has 0 bytes instead of 200)`);
    expect(readFileSync(join(root, "checkpoints", "step-100", "a.bin"), "utf8")).toHaveLength(100);
  });

  test.each([["step-00000100.e00001"], ["100"]])("fetches %s", async (wanted) => {
    await put(100, 2);
    await put(200, 1);
    const { out } = await run("get", wanted, "there", "--json");
    expect(JSON.parse(out)).toEqual({ id: "step-00000100.e00001", step: 100, folder: join(root, "there", "step-100") });
  });

  test("a step is the lineage's newest of that step", async () => {
    await put(100, 2, 1);
    await put(100, 2, 1);
    rmSync(join(root, "local"), { recursive: true });
    plainFolder(join(root, "local"), "step-100", { other: "" });
    await put(100, 1, 1);
    expect((await run("get", "100")).out).toContain("step-00000100.e00001.2 is whole");
  });

  test.each<[string, string]>([
    [
      "step-00000100.e00002",
      "VL_NOT_FOUND: run local/gpt has no checkpoint step-00000100.e00002\n  why: did you mean step-00000100.e00001?",
    ],
    ["7", "VL_NOT_FOUND: run local/gpt has no checkpoint of step 7\n  do:  vastlane checkpoints ls --all"],
  ])("refuses %s", async (wanted, message) => {
    await put(100, 2);
    await expect(run("get", wanted)).rejects.toThrow(message);
  });

  test("says when there is none", async () => {
    await expect(run("get", "latest")).rejects.toThrow(
      "VL_NOT_FOUND: run local/gpt has no checkpoint in memory://store\n  do:  vastlane checkpoints ls --all; another run of the store is named by --run",
    );
    await expect(run("get")).rejects.toThrow("VL_USAGE: checkpoints get wants an id, a step, or latest");
  });
});

describe("rm", () => {
  test("says what it would remove, and removes nothing", async () => {
    const id = await put(100, 2);
    await put(200, 1);
    const { out } = await run("rm", id);
    expect(out).toMatch(
      /^would remove step-00000100\.e00001 \(\d+ B\)\nNothing was removed\. To remove \d+ B, add --yes\.\n$/,
    );
    expect(await readLineage(store)).toHaveLength(2);
  });

  test("removes with --yes, and the lineage goes on", async () => {
    const [first, second, third] = [await put(100, 3), await put(200, 2), await put(300, 1)];
    const { out } = await run("rm", second, "100", "--yes");
    expect(out).toMatch(/^removed step-00000200\.e00001 .*\nremoved step-00000100\.e00001 .*\n$/);
    expect(await readLineage(store)).toEqual([third]);
    expect(await store.list(`checkpoints/${first}/`)).toEqual([]);
  });

  test("refuses the newest unless forced", async () => {
    const [first, second] = [await put(100, 2), await put(200, 1)];
    await expect(run("rm", second, "--yes")).rejects.toThrow(
      `VL_USAGE: ${second} is the newest checkpoint: the run goes on from it\n  why: without it, the run goes on from the one before, and trains again what came after\n  do:  add --force if that is meant`,
    );
    expect(JSON.parse((await run("rm", second, "--yes", "--force", "--json")).out)).toMatchObject({ removed: true });
    expect(await readLineage(store)).toEqual([first]);
  });

  test("removes what an upload has left unfinished", async () => {
    await store.put("checkpoints/step-00000300.e00001/a.bin", "AAA");
    await run("rm", "step-00000300.e00001", "--yes");
    expect(store.objects.size).toBe(0);
  });

  test("wants ids that are there", async () => {
    const id = await put(100, 2);
    await expect(run("rm", "--yes")).rejects.toThrow("VL_USAGE: checkpoints rm wants the ids of what to remove");
    await expect(run("rm", id, "step-00000900.e00001", "--yes", "--force")).rejects.toThrow("VL_NOT_FOUND");
    expect(await readLineage(store)).toEqual([id]);
  });
});

test.each<[string[], string]>([
  [[], "VL_USAGE: checkpoints wants to know what to do"],
  [["list"], "VL_USAGE: checkpoints cannot list"],
  [["gte"], "did you mean get?"],
  [["ls", "--al"], "did you mean --all?"],
])("refuses %j", async (args, message) => {
  await expect(run(...args)).rejects.toThrow(message);
});

test("an interrupted download can be gone on with", async () => {
  await put(100, 2);
  store.failNext({ op: "download" });
  await expect(run("get", "latest")).rejects.toThrow();
  expect(existsSync(join(root, "checkpoints", "step-100"))).toBe(false);
  expect((await run("get", "latest")).code).toBe(0);
});

/** Machines, each with a disk, that take a run over from each other; and one that is killed at each request on its way. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { UserError } from "../../../../../common/errors.ts";
import { type Claimed, type ClaimOptions, claimRun, type Taken } from "../../../../../runtime/agent/keeper/claim.ts";
import { parseRun, type Run } from "../../../../../runtime/agent/run-file.ts";
import { listCheckpoints, publishFolder } from "../../../../../runtime/checkpoint/index.ts";
import { type Held, LeaseLost } from "../../../../../runtime/lease/index.ts";
import type { ObjectStore } from "../../../../../runtime/store/types.ts";
import { ourFolder, plainFolder } from "../../../../helpers/checkpoint-folders.ts";
import { type FakeClock, fakeClock } from "../../../../helpers/fake-clock.ts";
import { holder } from "../../../../helpers/lease.ts";
import { type MemoryStore, memoryStore, type StoreHooks, storeDown } from "../../../../helpers/memory-store.ts";

let clock: FakeClock;
let store: MemoryStore;
beforeEach(() => {
  clock = fakeClock();
  store = memoryStore({ clock });
});

interface Machine {
  root: string;
  dir: string;
  memoryFile: string;
  id: string;
  said: string[];
  /** Of the last claim. */
  held: Held | undefined;
  trouble: (string | null)[];
  cost: number;
}

function makeMachine(id: string): Machine {
  const root = mkdtempSync(join(tmpdir(), `vastlane-claim-${id}-`));
  const machine: Machine = {
    root,
    dir: join(root, "checkpoints"),
    memoryFile: join(root, "memory.json"),
    id,
    said: [],
    held: undefined,
    trouble: [],
    cost: 0,
  };
  onTestFinished(() => {
    machine.held?.abandon();
    rmSync(root, { recursive: true, force: true });
  });
  return machine;
}

const runOf = (fields: object = {}): Run =>
  parseRun({ runId: "stack/run", codeHash: "c1", paramsHash: "p1", command: ["x"], ...fields }, "/w");

function claim(machine: Machine, options: Partial<ClaimOptions> & { signal?: AbortSignal } = {}): Promise<Claimed> {
  const { signal = new AbortController().signal, ...more } = options;
  machine.held?.abandon(); // an agent before this one is dead
  return claimRun(
    {
      store,
      run: runOf(),
      holder: holder(machine.id),
      checkpointDir: machine.dir,
      memoryFile: machine.memoryFile,
      clock,
      log: () => {},
      say: (line) => machine.said.push(line),
      heartbeat: () => null as never,
      spentHere: () => machine.cost,
      ...more,
    },
    {
      onHeld: (held) => {
        machine.held = held;
      },
      onTrouble: (why) => machine.trouble.push(why),
    },
    signal,
  );
}

async function go(machine: Machine, options: Parameters<typeof claim>[1] = {}): Promise<Taken> {
  const claimed = await claim(machine, options);
  if (claimed.act !== "go") throw new Error(`${claimed.act}: ${claimed.why}`);
  return claimed;
}

/** A checkpoint that the machine makes, and uploads. */
async function publish(machine: Machine, step: number, content = `weights of ${step}`): Promise<void> {
  const folder = ourFolder(machine.dir, step, { w: content });
  const run = { runId: "stack/run", experiment: null, contentHash: "" };
  const outgoing = join(machine.root, "outgoing");
  await publishFolder({ store, tenure: machine.held as Held, clock, folder, outgoing, run });
}

const resumed = ({ resumeFrom }: Taken) => resumeFrom && basename(resumeFrom);
const record = () => store.json("run.json");
const weights = ({ resumeFrom }: Taken) => readFileSync(join(resumeFrom ?? "", "w"), "utf8");

describe("what a machine goes on from", () => {
  test("is nothing, for the first one", async () => {
    const machine = makeMachine("a");
    const taken = await go(machine);
    expect(taken).toMatchObject({ resumeFrom: undefined, isFresh: false, restored: null });
    expect(record()).toMatchObject({ status: "running", codeHash: "c1", paramsHash: "p1", generation: 0, epoch: 1 });
  });

  test("is the store's newest, on an empty disk", async () => {
    const [first, second] = [makeMachine("a"), makeMachine("b")];
    await go(first);
    await publish(first, 100);
    await publish(first, 200);
    await first.held?.release();
    const taken = await go(second);
    expect(resumed(taken)).toBe("step-00000200");
    expect(taken.restored).toEqual({ id: "step-00000200.e00001", step: 200, folder: "step-00000200" });
  });

  test("is its own newest, when nobody came between and the last one was not uploaded", async () => {
    const machine = makeMachine("a");
    await go(machine);
    await publish(machine, 100);
    ourFolder(machine.dir, 200, { w: "not uploaded" });
    const taken = await go(machine);
    expect(resumed(taken)).toBe("step-00000200");
    expect(taken.restored).toBeNull();
  });

  test("is the store's, when its own newest is gone or older", async () => {
    const machine = makeMachine("a");
    await go(machine);
    await publish(machine, 100);
    await publish(machine, 200);
    rmSync(join(machine.dir, "step-00000200"), { recursive: true });
    expect(resumed(await go(machine))).toBe("step-00000200");
  });

  test("is the store's, when its own newest is damaged", async () => {
    const machine = makeMachine("a");
    await go(machine);
    await publish(machine, 100);
    await publish(machine, 200);
    writeFileSync(join(machine.dir, "step-00000200", "w"), "weights of 2O0");
    const taken = await go(machine);
    expect(resumed(taken)).toBe("step-00000200");
    expect(weights(taken)).toBe("weights of 200");
  });

  test("is the one before, when the store's newest is damaged, and that is said", async () => {
    const [first, second] = [makeMachine("a"), makeMachine("b")];
    await go(first);
    await publish(first, 100);
    await publish(first, 200);
    await first.held?.release();
    const key = "checkpoints/step-00000200.e00001/w";
    await store.put(key, "weights of 2O0");
    const taken = await go(second);
    expect(resumed(taken)).toBe("step-00000100");
    expect([...taken.damaged]).toEqual(["step-00000200.e00001"]);
    expect(second.said.join("\n")).toContain("step-00000200.e00001");
  });

  test("is its own older one, when nothing in the store is whole", async () => {
    const machine = makeMachine("a");
    await go(machine);
    plainFolder(machine.dir, "step-50", { w: "mine" });
    await publish(machine, 200);
    rmSync(join(machine.dir, "step-00000200"), { recursive: true });
    await store.put("checkpoints/step-00000200.e00001/w", "damaged in length");
    expect(resumed(await go(machine))).toBe("step-50");
    expect(machine.said.join("\n")).toContain("going on from");
  });

  test("is nothing of its own, when another run was here before", async () => {
    const machine = makeMachine("a");
    await go(machine, { run: runOf({ runId: "stack/other" }), store: memoryStore({ clock }) });
    plainFolder(machine.dir, "step-900", { w: "of the other run" });
    const taken = await go(machine);
    expect(taken.resumeFrom).toBeUndefined();
    expect(readdirSync(`${machine.dir}.outside-e00001`)).toEqual(["step-900"]);
  });

  test("is its own, for a run that had no store until now", async () => {
    const machine = makeMachine("a");
    plainFolder(machine.dir, "step-900", { w: "made before" });
    expect(resumed(await go(machine))).toBe("step-900");
  });
});

describe("a machine that is killed at any request of its claim, and starts again", () => {
  /** Claims that get no answer to their request number `kill`; then one that does. Gives how many kills there were. */
  async function killEverywhere(prepare: () => Promise<Machine>, check: (machine: Machine) => Promise<void>) {
    let kill = 0;
    for (let isOver = false; !isOver; kill += 1) {
      clock = fakeClock();
      store = memoryStore({ clock });
      const machine = await prepare();
      const life = new AbortController();
      let requests = 0;
      const hooks: StoreHooks = {
        before: () => {
          if (requests++ < kill) return; // whoever is dead asks for nothing more
          life.abort(new Error("killed"));
          return new Promise(() => {});
        },
      };
      const dying = store.view(hooks) as ObjectStore;
      const restoreWorkspace = async () => void (await dying.list("snapshots/"));
      const ended = new Promise((resolve) => life.signal.addEventListener("abort", () => resolve("killed")));
      isOver =
        // Without renewals beside it, each request is the claim's own: it is at a stand when one gets no answer.
        (await Promise.race([
          claim(machine, { store: dying, restoreWorkspace, renewMs: 1e9 }).then(() => "whole"),
          ended,
        ])) === "whole";
      await check(machine);
      machine.held?.abandon();
    }
    return kill - 1;
  }

  test("never loads what it made before another one took over", async () => {
    const kills = await killEverywhere(
      async () => {
        const [first, second] = [makeMachine("a"), makeMachine("b")];
        await go(first);
        await publish(first, 100);
        ourFolder(first.dir, 900, { w: "never uploaded" });
        first.held?.abandon();
        await clock.sleep(20_000);
        await go(second);
        await publish(second, 200);
        await second.held?.release();
        return first;
      },
      async (machine) => {
        expect(resumed(await go(machine))).toBe("step-00000200");
        expect(listCheckpoints(machine.dir).map((path) => basename(path))).toEqual(["step-00000200"]);
      },
    );
    expect(kills).toBeGreaterThan(10);
  });

  test("never loads what was before a fresh start", async () => {
    const kills = await killEverywhere(
      async () => {
        const machine = makeMachine("a");
        await go(machine);
        await publish(machine, 100);
        const before = record();
        await store.put("run.json", JSON.stringify({ ...before, status: "fresh" }));
        return machine;
      },
      async (machine) => {
        expect((await go(machine)).resumeFrom).toBeUndefined();
        expect(record()).toMatchObject({ status: "running", generation: 1 });
        expect(listCheckpoints(machine.dir)).toEqual([]);
      },
    );
    expect(kills).toBeGreaterThan(6);
  });

  test("always goes on from its own newest when nobody came between", async () => {
    await killEverywhere(
      async () => {
        const machine = makeMachine("a");
        await go(machine);
        await publish(machine, 100);
        ourFolder(machine.dir, 200, { w: "not uploaded" });
        return machine;
      },
      async (machine) => {
        // The epoch of a claim that got as far as the fence, and not as far as this disk, is nobody's that it knows.
        expect(["step-00000100", "step-00000200"]).toContain(resumed(await go(machine)));
      },
    );
  });
});

describe("what goes wrong on the way", () => {
  test("a store that fails after the lease is waited for under that lease", async () => {
    const machine = makeMachine("a");
    let tries = 0;
    const taken = await go(machine, {
      async restoreWorkspace() {
        tries += 1;
        if (tries <= 3) throw storeDown();
      },
    });
    expect(taken.act).toBe("go");
    expect(tries).toBe(4);
    expect(store.json("lease.json")).toMatchObject({ epoch: 1, released: false });
    expect(machine.said.filter((line) => line.includes("the run's store cannot be used"))).toHaveLength(1);
    expect(machine.trouble.at(-1)).toBeNull();
    expect(clock.passed()).toBeGreaterThan(25_000);
  });

  test("a full disk is waited for, and said", async () => {
    const machine = makeMachine("a");
    let tries = 0;
    await go(machine, {
      async restoreWorkspace() {
        tries += 1;
        if (tries <= 2) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
        if (tries === 3) throw new UserError("VL_DISK_FULL", { what: "the machine's disk is full" });
      },
    });
    expect(tries).toBe(4);
    expect(machine.said[0]).toBe("waiting, as this machine cannot be used: ENOSPC: no space left on device");
  });

  test("checkpoints of which none can be used close the run and give it back, so that nothing is rented for it", async () => {
    const [first, second] = [makeMachine("a"), makeMachine("b")];
    await go(first);
    await publish(first, 100);
    await first.held?.release();
    await store.put("checkpoints/step-00000100.e00001/w", "damaged in length");
    const claimed = await claim(second);
    const why = expect.stringContaining("VL_CHECKPOINT_BAD");
    expect(claimed).toMatchObject({ act: "refused", isSettled: true, why });
    expect(record()).toMatchObject({ status: "failed", reason: expect.stringContaining("VL_CHECKPOINT_BAD") });
    expect(store.json("lease.json")).toMatchObject({ released: true });
  });

  test("a damaged run record is refused and left as it is", async () => {
    await store.put("run.json", "{");
    const machine = makeMachine("a");
    const why = expect.stringContaining("--fresh");
    expect(await claim(machine)).toMatchObject({ act: "refused", isSettled: false, why });
    expect(store.objects.get("run.json")?.body.toString()).toBe("{");
  });

  test("a head that a newer vastlane has written is refused, and left as it is", async () => {
    const head = JSON.stringify({ format: 2, epoch: 7 });
    await store.put("latest.json", head);
    const claimed = await claim(makeMachine("a"));
    expect(claimed).toMatchObject({ act: "refused", isSettled: false, why: expect.stringContaining("newer") });
    expect(store.objects.get("latest.json")?.body.toString()).toBe(head);
  });

  test("a closed run is not started, and the lease is given back", async () => {
    const [first, second] = [makeMachine("a"), makeMachine("b")];
    await go(first);
    await store.put("run.json", JSON.stringify({ ...record(), status: "done", finalStep: 400 }));
    await first.held?.release();
    expect(await claim(second)).toMatchObject({ act: "closed", status: "done", why: "it is done at step 400" });
    expect(store.json("lease.json")).toMatchObject({ epoch: 2, released: true });
    expect(second.held).toBeDefined();
  });

  test("a run that is taken over during the restore is lost, and its record is left alone", async () => {
    const [first, second] = [makeMachine("a"), makeMachine("b")];
    await go(first);
    await publish(first, 100);
    const lost = claim(first, {
      async restoreWorkspace(held) {
        held.abandon(); // frozen
        await clock.sleep(20_000);
        await go(second);
        await held.assertHeld();
      },
    });
    await expect(lost).rejects.toThrow(LeaseLost);
    expect(record()).toMatchObject({ epoch: 3, status: "running" });
  });

  test("who is told to stop while it waits or restores goes at once", async () => {
    const [first, second] = [makeMachine("a"), makeMachine("b")];
    await go(first);
    const stop = new AbortController();
    clock.after(3_000, () => stop.abort(new Error("stopped")));
    await expect(claim(second, { signal: stop.signal })).rejects.toThrow("stopped");
    expect(second.said[0]).toMatch(/^this machine waits: host-a, process 1 holds the run since /);
    const during = new AbortController();
    const restoring = claim(first, {
      signal: during.signal,
      restoreWorkspace: async () => {
        during.abort(new Error("stopped"));
        throw storeDown();
      },
    });
    await expect(restoring).rejects.toThrow("stopped");
  });
});

test("what a run has cost is one sum, whichever machine comes back", async () => {
  const [first, second] = [makeMachine("a"), makeMachine("b")];
  await go(first);
  first.cost = 1;
  await go(first); // its agent was started again, and has written the sum
  expect(record()).toMatchObject({ spentUsd: 1 });
  await first.held?.release();
  await go(second);
  second.cost = 2;
  await go(second);
  expect(record()).toMatchObject({ spentUsd: 3 });
  await second.held?.release();
  first.cost = 1.5;
  await go(first);
  expect(record()).toMatchObject({ spentUsd: 3.5 });
});

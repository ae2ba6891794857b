import { readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEPLOYED, SENT_AT, type SnapshotWorld, snapshotWorld, writeAt } from "../../../helpers/snapshot-world.ts";

let world: SnapshotWorld;
let { clock, store, log, names, machine } = {} as SnapshotWorld;
beforeEach(() => {
  world = snapshotWorld();
  ({ clock, store, log, names, machine } = world);
});
afterEach(() => world.dispose());

test("what was changed on a machine is there again on the next one, with its time", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited");
  first.edit("notes/new.md", "new");
  rmSync(join(first.project, "old.py"));
  expect(await first.save(1)).toMatch(/^snapshots\/20260101T000000Z\.e00001$/);
  const second = machine("b", DEPLOYED);
  const found = await second.restore(2);
  expect(found).toMatchObject({ restored: ["notes/new.md", "train.py"], deleted: ["old.py"], conflicts: [] });
  expect(second.read("train.py")).toBe("edited");
  expect(second.read("notes/new.md")).toBe("new");
  expect(second.read("lib/model.py")).toBe("m1");
  expect(second.has("old.py")).toBe(false);
  expect(statSync(join(second.project, "train.py")).mtimeMs).toBe((SENT_AT + 60) * 1000);
});

test("a file that changed on both sides stays as deployed, and the machine's version lies beside the project", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited there");
  rmSync(join(first.project, "old.py"));
  await first.save(1);
  const second = machine("b", { ...DEPLOYED, "train.py": "v2 of the laptop", "old.py": "o2" });
  const found = await second.restore(2);
  expect(found).toMatchObject({ restored: [], deleted: [], conflicts: ["train.py"] });
  expect(second.read("train.py")).toBe("v2 of the laptop");
  expect(second.read("old.py")).toBe("o2");
  expect(readFileSync(join(found?.conflictFolder ?? "", "train.py"), "utf8")).toBe("edited there");
  expect(log.join("\n")).toContain("old.py was deleted on the machine before");
});

test("restoring twice changes nothing more", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited");
  await first.save(1);
  const second = machine("b", DEPLOYED);
  await second.restore(2);
  second.forget();
  expect(await second.restore(2)).toMatchObject({ restored: [], deleted: [], conflicts: [] });
});

describe("saving", () => {
  test("an unchanged workspace sends nothing", async () => {
    const one = machine("a", DEPLOYED);
    await one.restore(1);
    expect(await one.save(1)).toBeUndefined();
    one.edit("train.py", "edited");
    expect(await one.save(1)).toBeDefined();
    expect(await one.save(1)).toBeUndefined();
    expect((await store.list("")).length).toBe(2);
  });

  test("going back to what was sent is a change as well", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("train.py", "edited");
    await one.save(1);
    writeAt(join(one.project, "train.py"), "v1", SENT_AT);
    await clock.sleep(1000);
    expect(await one.save(1)).toBeDefined();
    const second = machine("b", DEPLOYED);
    expect(await second.restore(2)).toMatchObject({ restored: [] });
  });

  test("ignored, secret, large and linked files stay out, and all but ignored ones are named once", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("out/log.txt", "ignored");
    one.edit(".env", "KEY=secret");
    one.edit("id_rsa", "secret");
    one.edit("weights.bin", "x".repeat(2000));
    symlinkSync("/etc/passwd", join(one.project, "link"));
    one.edit("kept.txt", "kept");
    await one.save(1);
    one.edit("kept.txt", "kept again, longer");
    await one.save(1);
    const second = machine("b", DEPLOYED);
    expect((await second.restore(2))?.restored).toEqual(["kept.txt"]);
    expect(log).toEqual([
      "not saved with the workspace: .env (looks like a secret), id_rsa (looks like a secret), link (is a link), weights.bin (larger than 0.001 MB)",
    ]);
  });

  test("of more than fits, the newest files count", async () => {
    const one = machine("a", {});
    for (let i = 0; i < 5; i += 1) writeAt(join(one.project, `f${i}`), "x".repeat(900), SENT_AT + i);
    await one.save(1);
    const second = machine("b", {});
    expect((await second.restore(2))?.restored).toEqual(["f2", "f3", "f4"]);
  });

  test("old snapshots go, the last of each day stays", async () => {
    const one = machine("a", {});
    for (let i = 0; i < 30; i += 1) {
      one.edit("f", "x".repeat(i + 1));
      await one.save(1);
      await clock.sleep(4 * 3600_000);
    }
    const names = (await store.list("snapshots/")).filter(({ key }) => key.endsWith(".json"));
    expect(names.length).toBe(20 + 1); // the last 20, and the last of the only day that they leave out
  });
});

describe("a disk that is known", () => {
  test("a new agent on it takes no second snapshot of the same", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("train.py", "edited");
    expect(await one.save(1)).toBeDefined();
    const again = one.newAgent();
    expect(await again.restore(2, 1)).toBeUndefined();
    expect(await again.save(2)).toBeUndefined();
  });

  test("what a deploy has brought meanwhile is no conflict later", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("train.py", "edited");
    await one.save(1);
    // The laptop took the change over, and went on.
    one.deploy({ ...DEPLOYED, "train.py": "v2" });
    const again = one.newAgent();
    await again.restore(2, 1);
    expect(await again.save(2)).toBeDefined();
    const second = machine("b", { ...DEPLOYED, "train.py": "v2" });
    expect(await second.restore(3)).toMatchObject({ restored: [], conflicts: [] });
  });

  test("a restore that was cut off is done again", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    first.edit("new.py", "new");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    store.failNext({ op: "download" });
    await expect(second.restore(2)).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
    // The next agent on that disk: its machine was the last to hold the run.
    expect((await second.newAgent().restore(3, 2))?.restored).toEqual(["new.py", "train.py"]);
  });

  test("is brought up to date once in a tenure", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    second.edit("train.py", "edited since");
    expect(await second.restore(2)).toBeUndefined();
    expect(second.read("train.py")).toBe("edited since");
  });

  test("takes over what went on elsewhere from where it had left off", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    second.edit("train.py", "edited further");
    await second.save(2);
    expect(await first.newAgent().restore(3)).toMatchObject({ restored: ["train.py"], conflicts: [] });
    expect(first.read("train.py")).toBe("edited further");
  });

  test("keeps what was edited on it after its last snapshot", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    await first.save(1);
    first.edit("train.py", "edited, and never saved");
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    second.edit("train.py", "edited further");
    await second.save(2);
    expect(await first.newAgent().restore(3)).toMatchObject({ restored: [], conflicts: ["train.py"] });
    expect(first.read("train.py")).toBe("edited, and never saved");
  });
});

test("what lies beside the project after a conflict goes along to the next machine", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited there");
  await first.save(1);
  const second = machine("b", { ...DEPLOYED, "train.py": "v2" });
  const folder = (await second.restore(2))?.conflictFolder ?? "";
  await second.save(2);
  const third = machine("c", { ...DEPLOYED, "train.py": "v2" });
  await third.restore(3);
  expect(third.read("train.py")).toBe("v2");
  expect(readFileSync(join(third.conflicts, basename(folder), "train.py"), "utf8")).toBe("edited there");
});

describe("a store that fails", () => {
  test.each(["upload", "put"] as const)("on %s: the next save takes it, and nothing half is restored", async (op) => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    store.failNext({ op });
    await expect(first.save(1)).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
    expect(await machine("b", DEPLOYED).restore(2)).toBeUndefined();
    expect(await first.save(1)).toBeDefined();
    expect((await machine("c", DEPLOYED).restore(3))?.restored).toEqual(["train.py"]);
  });

  test("while old ones are removed: the snapshot is taken all the same", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    store.failNext({ op: "list" });
    expect(await first.save(1)).toBeDefined();
    expect(log.join()).toContain("old snapshots were not removed");
  });

  test("archives whose index never came are removed", async () => {
    await store.put("snapshots/20250101T000000Z.e00001.tar.gz", "half");
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    const name = await first.save(1);
    expect([...store.objects.keys()]).toEqual([`${name}.tar.gz`, `${name}.json`]);
  });

  test("a writer that lost the run meanwhile adds nothing that counts", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    const lost = new Error("another machine holds the run");
    await expect(first.save(1, { assertHeld: () => Promise.reject(lost) })).rejects.toBe(lost);
    expect(await names()).toEqual([]);
  });
});

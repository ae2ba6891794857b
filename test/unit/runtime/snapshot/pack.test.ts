import { appendFileSync, chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEPLOYED, SENT_AT, type SnapshotWorld, snapshotWorld, writeAt } from "../../../helpers/snapshot-world.ts";

let world: SnapshotWorld;
let { store, log, names, machine } = {} as SnapshotWorld;
beforeEach(() => {
  world = snapshotWorld();
  ({ store, log, names, machine } = world);
});
afterEach(() => world.dispose());

describe("a workspace that is in use", () => {
  test("a file that grows while it is saved does not spoil the snapshot", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.log", "line\n");
    first.edit("train.py", "edited");
    let isGrowing = true;
    const grow = () => {
      appendFileSync(join(first.project, "train.log"), "another line\n");
      if (isGrowing) setImmediate(grow);
    };
    grow();
    await first.save(1);
    isGrowing = false;
    const second = machine("b", DEPLOYED);
    expect((await second.restore(2))?.restored).toEqual(["train.log", "train.py"]);
    expect(log).toEqual([]);
  });

  test("two saves at once come one after the other, and the later one has it all", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    const one = first.save(1);
    first.edit("new.py", "new");
    const names = await Promise.all([one, first.save(1)]);
    expect(new Set(names.filter(Boolean)).size).toBeGreaterThan(0);
    const second = machine("b", DEPLOYED);
    expect((await second.restore(2))?.restored).toEqual(["new.py", "train.py"]);
  });

  test("one that waits for another gives up with its signal", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "edited");
    const running = first.save(1);
    await expect(first.save(1, { signal: AbortSignal.abort(new Error("the grace is over")) })).rejects.toThrow("grace");
    expect(await running).toBeDefined();
  });

  test("a file that was only touched is no change", async () => {
    const one = machine("a", DEPLOYED);
    await one.restore(1);
    one.edit("train.py", "v1");
    expect(await one.save(1)).toBeUndefined();
    expect(await store.list("")).toEqual([]);
  });

  test("a program that was made executable is a change, and is executable again", async () => {
    const first = machine("a", DEPLOYED);
    chmodSync(join(first.project, "train.py"), 0o755);
    expect(await first.save(1)).toBeDefined();
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(statSync(join(second.project, "train.py")).mode & 0o111).toBe(0o111);
  });

  test("a file that was sent is saved even where the ignore files name it", async () => {
    const first = machine("a", { ...DEPLOYED, "out/settings.json": "{}" });
    first.edit("out/settings.json", '{ "a": 1 }');
    await first.save(1);
    const second = machine("b", { ...DEPLOYED, "out/settings.json": "{}" });
    await second.restore(2);
    expect(second.read("out/settings.json")).toBe('{ "a": 1 }');
  });

  test("a private key stays here under any name", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("notes.txt", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n");
    await one.save(1);
    expect(log.join()).toContain("notes.txt (looks like a secret)");
    expect(store.json(`${(await names())[0]}.json`)).toMatchObject({ files: [], leftOut: [{ path: "notes.txt" }] });
  });

  test("names with spaces, quotes, blanks at the ends and other scripts come through; line breaks are named", async () => {
    const odd = ["a b.py", "it's.py", '"q".py', " lead.py", "ünï/日本語.py", "-rf", "$(x).py", `${"n".repeat(120)}.py`];
    const first = machine("a", {});
    for (const path of [...odd, "a\nb.py"]) first.edit(path, path);
    await first.save(1);
    expect(log.join()).toContain('"a\\nb.py" (has an odd name)');
    const second = machine("b", {});
    expect(new Set((await second.restore(2))?.restored)).toEqual(new Set(odd));
    for (const path of odd) expect(second.read(path)).toBe(path);
  });

  test("more files than fit are left out, the oldest first", async () => {
    const one = machine("a", {});
    for (let i = 0; i < 5; i += 1) writeAt(join(one.project, `f${i}`), "x", SENT_AT + i);
    await one.save(1, { caps: { files: 2 } });
    expect(store.json(`${(await names())[0]}.json`)?.files).toMatchObject([{ path: "f3" }, { path: "f4" }]);
    expect(log.join()).toContain("f0 (more than 2 files were changed)");
  });
});

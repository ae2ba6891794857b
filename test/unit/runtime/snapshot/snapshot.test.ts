import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { renderManifest, type SentFile } from "../../../../common/sent-files.ts";
import { createSnapshots, restoreSnapshot } from "../../../../runtime/snapshot/index.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { memoryStore } from "../../../helpers/memory-store.ts";

const SENT_AT = 1_700_000_000;
let root: string;
let clock: ReturnType<typeof fakeClock>;
let store: ReturnType<typeof memoryStore>;
let log: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-snapshot-"));
  clock = fakeClock();
  store = memoryStore({ clock });
  log = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface SaveChanges {
  caps?: { files?: number };
  signal?: AbortSignal;
  assertHeld?: () => Promise<void>;
}

/** Of the snapshots in the store, oldest first. */
const names = async () =>
  (await store.list("snapshots/")).flatMap(({ key }) => (key.endsWith(".json") ? key.slice(0, -5) : []));

/** A machine with the project as a deploy leaves it. */
function machine(name: string, files: Record<string, string>) {
  const base = join(root, name);
  const project = join(base, "project");
  mkdirSync(project, { recursive: true });
  const manifest = join(base, "manifest");
  const deploy = (sentFiles: Record<string, string>) => {
    const sent: SentFile[] = Object.entries(sentFiles).map(([path, text]) => {
      write(join(project, path), text, SENT_AT);
      const sha256 = createHash("sha256").update(text).digest("hex");
      return { path, sha256, size: Buffer.byteLength(text), mode: 0o644, mtime: SENT_AT, isLink: false };
    });
    writeFileSync(manifest, renderManifest(sent));
  };
  deploy(files);
  let snapshots = createSnapshots();
  const conflicts = join(base, "conflicts");
  const place = {
    runId: "test/run",
    project,
    conflicts,
    manifest,
    staging: join(base, "staging"),
    mark: join(base, "snapshot.json"),
  };
  const machine = {
    project,
    conflicts,
    deploy,
    /** As after a restore that was cut off at its very end. */
    forget: () => rmSync(place.mark),
    /** As after a restart: only what is on the disk is remembered. */
    newAgent() {
      snapshots = createSnapshots();
      return machine;
    },
    read: (path: string) => readFileSync(join(project, path), "utf8"),
    edit: (path: string, text: string) => write(join(project, path), text, SENT_AT + 60),
    has: (path: string) => existsSync(join(project, path)),
    save: (epoch: number, changes: SaveChanges = {}) => {
      const tenure = { epoch, holder: name, assertHeld: changes.assertHeld ?? (async () => {}) };
      const caps = { fileBytes: 1000, totalBytes: 3000, ...changes.caps };
      const signal = changes.signal ? { signal: changes.signal } : {};
      const note = (line: string) => log.push(line);
      return snapshots.save({ store, tenure, clock, log: note, say: note, ...signal, caps, ...place });
    },
    restore: (epoch: number, previousEpoch = epoch - 1) =>
      restoreSnapshot({ store, epoch, previousEpoch, log: (line) => log.push(line), ...place }),
  };
  return machine;
}

interface Index {
  files: object[];
  conflicts: object[];
  deleted: object[];
}

function write(path: string, text: string, mtime: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  utimesSync(path, mtime, mtime);
}

const DEPLOYED = { "train.py": "v1", "lib/model.py": "m1", "old.py": "o1", ".gitignore": "out/\n" };

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
    write(join(one.project, "train.py"), "v1", SENT_AT);
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
    for (let i = 0; i < 5; i += 1) write(join(one.project, `f${i}`), "x".repeat(900), SENT_AT + i);
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
    for (let i = 0; i < 5; i += 1) write(join(one.project, `f${i}`), "x", SENT_AT + i);
    await one.save(1, { caps: { files: 2 } });
    expect(store.json(`${(await names())[0]}.json`)?.files).toMatchObject([{ path: "f3" }, { path: "f4" }]);
    expect(log.join()).toContain("f0 (more than 2 files were changed)");
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

describe("what must not come back", () => {
  test("a late snapshot of an old epoch, even where the new one has changed nothing", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(await second.save(2)).toBeDefined();
    await clock.sleep(60_000);
    first.edit("train.py", "written after the takeover");
    await first.save(1);
    const third = machine("c", DEPLOYED);
    await third.restore(3);
    expect(third.read("train.py")).toBe("good");
  });

  test("a snapshot that an old epoch writes late", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    second.edit("lib/model.py", "better");
    await second.save(2);
    await clock.sleep(60_000);
    first.edit("train.py", "written after the takeover");
    await first.save(1);
    const third = machine("c", DEPLOYED);
    await third.restore(3);
    expect(third.read("train.py")).toBe("good");
    expect(third.read("lib/model.py")).toBe("better");
  });

  test("a damaged one: the one before is taken", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    await clock.sleep(1000);
    first.edit("train.py", "better, but damaged");
    const name = await first.save(1);
    const archive = await store.get(`${name}.tar.gz`);
    const bytes = Buffer.from(archive?.body ?? "");
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await store.put(`${name}.tar.gz`, bytes);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(second.read("train.py")).toBe("good");
    expect(log.join("\n")).toContain("its archive is damaged");
  });

  test.each(["../outside", "/etc/x", "a/../../outside", "a//b", ".ssh/authorized_keys", ".env", "a\\..\\b"])(
    "a path that leaves the project or never travels: %s",
    async (path) => {
      const first = machine("a", DEPLOYED);
      first.edit("train.py", "good");
      const name = await first.save(1);
      const index = JSON.parse((await store.get(`${name}.json`))?.body.toString() ?? "");
      index.files[0].path = path;
      await store.put(`${name}.json`, JSON.stringify(index));
      const second = machine("b", DEPLOYED);
      expect(await second.restore(2)).toBeUndefined();
      expect(second.read("train.py")).toBe("v1");
      expect(existsSync(join(root, "b", "outside"))).toBe(false);
    },
  );

  test.each([
    ["a time that is a path", (index: Index) => Object.assign(index, { time: "../../../../tmp/x" })],
    ["a negative time", (index: Index) => Object.assign(index.files[0] ?? {}, { mtime: -1 })],
    ["a file named twice", (index: Index) => index.files.push(index.files[0] ?? {})],
    ["more bytes than any snapshot has", (index: Index) => Object.assign(index.files[0] ?? {}, { size: 2 ** 40 })],
    ["another length than the archive's file", (index: Index) => Object.assign(index.files[0] ?? {}, { size: 5 })],
    ["a hash that is none", (index: Index) => Object.assign(index.files[0] ?? {}, { sha256: "x" })],
    ["a file that the archive lacks", (index: Index) => index.files.push({ ...index.files[0], path: "other.py" })],
    ["a conflict that leaves its folder", (index: Index) => index.conflicts.push({ ...index.files[0], path: "../x" })],
    ["a deleted file outside", (index: Index) => index.deleted.push({ path: "../x", baseSha256: "0".repeat(64) })],
    ["no files at all", (index: Index) => Object.assign(index, { files: undefined })],
    ["a newer format", (index: Index) => Object.assign(index, { format: 2 })],
  ])("an index with %s: said, and the one before is taken", async (_, spoil) => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    await clock.sleep(1000);
    first.edit("train.py", "better");
    const name = await first.save(1);
    const index = store.json(`${name}.json`) as unknown as Index;
    spoil(index);
    await store.put(`${name}.json`, JSON.stringify(index));
    const second = machine("b", DEPLOYED);
    expect((await second.restore(2))?.restored).toEqual(["train.py"]);
    expect(second.read("train.py")).toBe("good");
    expect(log.join()).toContain(`snapshot ${name} is not used`);
  });

  test("bits that change who a program runs as", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("tool", "#!/bin/sh");
    const name = await first.save(1);
    const index = store.json(`${name}.json`) as unknown as Index;
    Object.assign(index.files[0] ?? {}, { mode: 0o4755 });
    await store.put(`${name}.json`, JSON.stringify(index));
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(statSync(join(second.project, "tool")).mode & 0o7777).toBe(0o755);
  });

  test("a file behind a link that leads out of the project", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("data/x.txt", "new");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    const outside = join(root, "elsewhere");
    mkdirSync(outside);
    symlinkSync(outside, join(second.project, "data"));
    expect(await second.restore(2)).toMatchObject({ restored: [], conflicts: ["data/x.txt"] });
    expect(existsSync(join(outside, "x.txt"))).toBe(false);
  });
});

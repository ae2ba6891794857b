// Files are needed here: what is tested is what a kill leaves of them.
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openStore, type Store } from "../../../../emulator/state/store.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "vastlane-store-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

interface Thing {
  size: number;
}

/** One record and one journal line that belong together. */
function put(store: Store, id: number, size: number): void {
  store.table<Thing>("thing").save(id, { size });
  store.commit([{ t: id, kind: "rent", contractId: id }], { durable: true });
}

function read(store: Store): { things: Thing[]; seqs: number[]; ids: unknown[] } {
  const lines = store.journal(0);
  return {
    things: store.table<Thing>("thing").values(),
    seqs: lines.map((line) => line.seq),
    ids: lines.map((line) => line.contractId),
  };
}

test("keeps records and journal over a kill, without being closed", () => {
  const store = openStore(home);
  put(store, 1, 10);
  put(store, 2, 20);
  const again = openStore(home);
  expect(read(again)).toEqual({ things: [{ size: 10 }, { size: 20 }], seqs: [1, 2], ids: [1, 2] });
});

test("keeps removed records removed", () => {
  const store = openStore(home);
  put(store, 1, 10);
  put(store, 2, 20);
  store.table("thing").remove(1);
  store.commit([], { durable: false });
  expect(openStore(home).table<Thing>("thing").values()).toEqual([{ size: 20 }]);
});

test("forgets what was saved and not committed", () => {
  const store = openStore(home);
  put(store, 1, 10);
  store.table<Thing>("thing").save(2, { size: 20 });
  expect(read(openStore(home)).things).toEqual([{ size: 10 }]);
});

test("comes back whole from a log cut anywhere: each commit is there with its journal line, or not at all", () => {
  const store = openStore(home);
  for (let id = 1; id <= 4; id += 1) put(store, id, id * 10);
  const wal = readFileSync(join(home, "state.wal"));
  const snapshot = readFileSync(join(home, "state.json"));
  const ends = [...wal.entries()].filter(([, byte]) => byte === 10).map(([index]) => index);
  const nearEnds = ends.flatMap((end) => [end - 1, end, end + 1]);
  const cuts = new Set([0, ...nearEnds, ...Array.from({ length: 40 }, (_, i) => Math.floor((i * wal.length) / 40))]);
  for (const cut of cuts) {
    writeFileSync(join(home, "state.wal"), wal.subarray(0, cut));
    writeFileSync(join(home, "state.json"), snapshot);
    writeFileSync(join(home, "journal.jsonl"), ""); // the kill came before the journal's own file was written
    const whole = ends.filter((end) => end < cut || end === cut).length; // a line counts with or without its line feed
    const { things, ids } = read(openStore(home));
    expect(things.length).toBe(whole);
    expect(ids).toEqual(things.map((_, index) => index + 1));
  }
});

test("goes on numbering after a torn line", () => {
  put(openStore(home), 1, 10);
  appendFileSync(join(home, "state.wal"), '{"n":2,"put":{"thi');
  const store = openStore(home);
  put(store, 2, 20);
  expect(read(openStore(home)).seqs).toEqual([1, 2]);
});

test("cuts a torn line off the journal and adds the lines that a kill kept out of it", () => {
  const store = openStore(home);
  put(store, 1, 10);
  put(store, 2, 20);
  const path = join(home, "journal.jsonl");
  truncateSync(path, readFileSync(path).length - 7);
  expect(read(openStore(home))).toMatchObject({ seqs: [1, 2], ids: [1, 2] });
  expect(readFileSync(path, "utf8").trimEnd().split("\n").length).toBe(2);
});

test("does not play a log twice that a kill kept from being emptied after a snapshot", () => {
  const store = openStore(home);
  put(store, 1, 10);
  copyFileSync(join(home, "state.wal"), join(home, "old.wal"));
  store.table<Thing>("thing").save(1, { size: 11 });
  store.commit([], { durable: false });
  store.close(); // a snapshot
  copyFileSync(join(home, "old.wal"), join(home, "state.wal"));
  expect(read(openStore(home))).toEqual({ things: [{ size: 11 }], seqs: [1], ids: [1] });
});

test("keeps its files from other users", () => {
  put(openStore(home), 1, 10);
  const { statSync } = process.getBuiltinModule("node:fs");
  for (const name of ["state.json", "state.wal", "journal.jsonl"])
    expect(statSync(join(home, name)).mode & 0o077).toBe(0);
});

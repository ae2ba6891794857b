/**
 * Tables of plain records that survive SIGKILL at any moment, and the journal that goes with them.
 * Every commit is one line of a write-ahead log: changed records and journal lines together, so that a
 * contract and the news of it are either both there or both not. `state.json` is a snapshot, taken when the
 * log has grown and at every start; a torn last line (killed while writing) never happened.
 */

import { closeSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Bug } from "../../common/errors.ts";
import { readFileIfThere, readJsonIfThere, writeFileAtomic } from "../../common/files.ts";
import { type JournalEntry, type JournalLine, openJournal } from "./journal.ts";

/** Records by id; changes are seen at once and kept from the next commit on. */
export interface Table<T> {
  get(id: string | number): T | undefined;
  values(): T[];
  /** Marks a record (new, or changed in place) for the next commit. */
  save(id: string | number, record: T): void;
  remove(id: string | number): void;
}

export interface Store {
  table<T>(name: string): Table<T>;
  /** Writes what was saved since the last commit. `durable` also waits for the disk (fsync). */
  commit(entries: JournalEntry[], options: { durable: boolean }): void;
  /** All journal lines after number `since` (0 = all), oldest first. */
  journal(since: number): JournalLine[];
  close(): void;
}

interface WalLine {
  n: number;
  put: Record<string, Record<string, unknown>>;
  del: Record<string, string[]>;
  journal: JournalLine[];
}

interface Snapshot {
  n: number;
  tables: Record<string, Record<string, unknown>>;
}

const SNAPSHOT_AFTER_BYTES = 8 * 1024 * 1024;

/** Opens (or makes) the state below `home`. Fails with ENOSPC/EACCES of the file system as they come. */
export function openStore(home: string): Store {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const snapshotPath = join(home, "state.json");
  const walPath = join(home, "state.wal");
  const journal = openJournal(join(home, "journal.jsonl"));

  const snapshot = (readJsonIfThere(snapshotPath) ?? { n: 0, tables: {} }) as Snapshot;
  const tables = new Map<string, Map<string, unknown>>();
  for (const [name, records] of Object.entries(snapshot.tables)) tables.set(name, new Map(Object.entries(records)));
  let n = snapshot.n;
  for (const line of parseWal(readFileIfThere(walPath) ?? "")) {
    if (line.n <= n) continue; // killed between a snapshot and the emptying of the log
    n = line.n;
    for (const [name, records] of Object.entries(line.put)) {
      for (const [id, record] of Object.entries(records)) mapOf(name).set(id, record);
    }
    for (const [name, ids] of Object.entries(line.del)) for (const id of ids) mapOf(name).delete(id);
    journal.adopt(line.journal);
  }

  const dirty = new Map<string, Set<string>>();
  let wal: number | undefined;
  let walBytes = 0;
  takeSnapshot();

  function mapOf(name: string): Map<string, unknown> {
    const known = tables.get(name);
    if (known) return known;
    const map = new Map<string, unknown>();
    tables.set(name, map);
    return map;
  }

  function takeSnapshot(): void {
    const whole: Snapshot = { n, tables: {} };
    for (const [name, map] of tables) whole.tables[name] = Object.fromEntries(map);
    writeFileAtomic(snapshotPath, JSON.stringify(whole), 0o600);
    wal ??= openSync(walPath, "a", 0o600);
    ftruncateSync(wal, 0);
    walBytes = 0;
  }

  function mark(name: string, id: string): void {
    const ids = dirty.get(name) ?? new Set();
    dirty.set(name, ids.add(id));
  }

  return {
    table<T>(name: string): Table<T> {
      const map = mapOf(name) as Map<string, T>;
      return {
        get: (id) => map.get(String(id)),
        values: () => [...map.values()],
        save: (id, record) => {
          map.set(String(id), record);
          mark(name, String(id));
        },
        remove: (id) => {
          map.delete(String(id));
          mark(name, String(id));
        },
      };
    },
    commit(entries, { durable }) {
      if (entries.length === 0 && dirty.size === 0) return;
      if (wal === undefined) throw new Bug("the store is closed");
      const line: WalLine = { n: n + 1, put: {}, del: {}, journal: journal.number(entries) };
      for (const [name, ids] of dirty) {
        const records = mapOf(name);
        const kept = [...ids].filter((id) => records.has(id));
        line.put[name] = Object.fromEntries(kept.map((id) => [id, records.get(id)]));
        line.del[name] = [...ids].filter((id) => !records.has(id));
      }
      const text = `${JSON.stringify(line)}\n`;
      writeSync(wal, text);
      if (durable) fdatasyncSync(wal);
      n += 1;
      dirty.clear();
      journal.append(line.journal, durable);
      walBytes += text.length;
      if (walBytes > SNAPSHOT_AFTER_BYTES) takeSnapshot();
    },
    journal: (since) => journal.lines(since),
    close() {
      if (wal === undefined) return;
      takeSnapshot();
      closeSync(wal);
      wal = undefined;
      journal.close();
    },
  };
}

function parseWal(text: string): WalLine[] {
  const lines: WalLine[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    try {
      lines.push(JSON.parse(line) as WalLine);
    } catch {
      break; // torn by a kill while writing: it was never acknowledged, and nothing follows it
    }
  }
  return lines;
}

/**
 * `journal.jsonl`: one line for every rent, destroy, charge and change of state, append-only, for people and
 * for tests that prove that nothing leaked. The store's log holds each line first; a line that a kill kept out
 * of this file is added at the next start.
 */
import { closeSync, fdatasyncSync, openSync, truncateSync, writeSync } from "node:fs";
import { readFileIfThere } from "../../common/files.ts";

export const JOURNAL_KINDS = [
  "rent", "destroy", "start", "stop", "outbid", "preempt", "resume", "charge", "error", "fault", "offline", "online",
  "expire", "no-credit", "label", "bid", "reboot", "recycle", "exit", "credit", "machine-up", "machine-down",
] as const; // biome-ignore format: a list of words

export type JournalKind = (typeof JOURNAL_KINDS)[number];

export interface JournalEntry {
  /** Market time, Unix seconds. */
  t: number;
  kind: JournalKind;
  contractId?: number;
  machineId?: number;
  offerId?: number;
  accountId?: number;
  label?: string | null;
  /** US$ per hour: GPU plus disk, what the contract costs in its state after this line. */
  pricePerHour?: number;
  [detail: string]: unknown;
}

/** An entry with its number: 1, 2, 3, ... without gaps. */
export type JournalLine = JournalEntry & { seq: number };

export interface Journal {
  /** Gives the next numbers to `entries` without writing them. */
  number(entries: JournalEntry[]): JournalLine[];
  append(lines: JournalLine[], durable: boolean): void;
  /** Writes those of `lines` that this file does not have yet. */
  adopt(lines: JournalLine[]): void;
  lines(since: number): JournalLine[];
  close(): void;
}

export function openJournal(path: string): Journal {
  const { lines, wholeBytes, torn } = parseJournal(readFileIfThere(path) ?? "");
  if (torn) truncateSync(path, wholeBytes);
  const file = openSync(path, "a", 0o600);

  function append(added: JournalLine[], durable: boolean): void {
    if (added.length === 0) return;
    writeSync(file, added.map((line) => `${JSON.stringify(line)}\n`).join(""));
    if (durable) fdatasyncSync(file);
    lines.push(...added);
  }

  return {
    number: (entries) => entries.map((entry, index) => ({ seq: lines.length + index + 1, ...entry })),
    append,
    adopt: (known) =>
      append(
        known.filter((line) => line.seq > lines.length),
        true,
      ),
    lines: (since) => lines.slice(Math.max(0, since)),
    close: () => closeSync(file),
  };
}

function parseJournal(text: string): { lines: JournalLine[]; wholeBytes: number; torn: boolean } {
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const lines = whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JournalLine);
  return { lines, wholeBytes: Buffer.byteLength(whole), torn: whole.length !== text.length };
}

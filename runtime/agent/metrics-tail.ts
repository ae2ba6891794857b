/**
 * Follows metrics.jsonl, one JSON object a line with at least `step`, and knows the latest step and loss.
 * It reads what is new since the last look and never more than `MAX_BEHIND` bytes of it.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const MAX_BEHIND = 1 << 20;

export interface Metric {
  step: number;
  loss: number | null;
  /** All numbers of the line. */
  values: Record<string, number>;
}

export interface MetricsTail {
  /** Reads on; the last line's metric, or undefined before the first. */
  poll(): Metric | undefined;
  /** The highest step seen so far, -1 before the first. */
  highestStep(): number;
}

/** `from`: byte offset of the run's first line; what is before belongs to an earlier run. */
export function followMetrics(path: string, from: number): MetricsTail {
  let offset = from;
  let partial = "";
  let last: Metric | undefined;
  let highest = -1;

  return {
    poll() {
      for (const line of newLines()) {
        const metric = parseMetric(line);
        if (!metric) continue;
        last = metric;
        highest = Math.max(highest, metric.step);
      }
      return last;
    },
    highestStep: () => highest,
  };

  function newLines(): string[] {
    let file: number;
    try {
      file = openSync(path, "r");
    } catch {
      return [];
    }
    try {
      const size = fstatSync(file).size;
      if (size < offset) [offset, partial] = [0, ""]; // emptied or replaced
      if (size - offset > MAX_BEHIND) [offset, partial] = [size - MAX_BEHIND, ""];
      const bytes = Buffer.alloc(size - offset);
      const count = readSync(file, bytes, 0, bytes.length, offset);
      offset += count;
      const lines = (partial + bytes.toString("latin1", 0, count)).split("\n");
      partial = lines.pop() ?? "";
      return lines;
    } catch {
      return [];
    } finally {
      closeSync(file);
    }
  }
}

/** A line's step and loss. Python writes NaN and Infinity, which are not JSON: then the numbers are picked out. */
export function parseMetric(line: string): Metric | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch {
    const step = /"step"\s*:\s*(\d+)/.exec(line)?.[1];
    const isWhole = line.trimStart().startsWith("{") && line.trimEnd().endsWith("}");
    return step !== undefined && isWhole ? { step: Number(step), loss: null, values: {} } : undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const { step, loss } = fields as { step?: unknown; loss?: unknown };
  if (typeof step !== "number" || !Number.isFinite(step)) return undefined;
  const numbers = Object.entries(fields).filter(([, value]) => typeof value === "number" && Number.isFinite(value));
  return { step, loss: typeof loss === "number" ? loss : null, values: Object.fromEntries(numbers) };
}

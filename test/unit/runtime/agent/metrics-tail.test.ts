import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { followMetrics, parseMetric } from "../../../../runtime/agent/metrics-tail.ts";

describe("a line", () => {
  test.each([
    ['{"step": 3, "loss": 2.5}', { step: 3, loss: 2.5 }],
    ['{"step":0,"time":1}', { step: 0, loss: null }],
    ['{"step": 12, "loss": NaN}', { step: 12, loss: null }],
    ['{"loss": 1}', undefined],
    ['{"step": "3"}', undefined],
    ['{"step": 99, "lo', undefined],
    ["[1]", undefined],
    ["", undefined],
  ])("%s", (line, metric) => {
    const found = parseMetric(line);
    if (metric) expect(found).toMatchObject(metric);
    else expect(found).toBeUndefined();
  });

  test("keeps every number, for the manifest of a checkpoint", () => {
    expect(parseMetric('{"step": 3, "loss": 2.5, "eval_loss": 3, "note": "x", "bad": null}')?.values).toEqual({
      step: 3,
      loss: 2.5,
      eval_loss: 3,
    });
  });
});

describe("a file", () => {
  let path: string;
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), "vastlane-metrics-")), "metrics.jsonl");
  });
  afterEach(() => rmSync(join(path, ".."), { recursive: true }));

  test("may be missing", () => {
    expect(followMetrics(path, 0).poll()).toBeUndefined();
  });

  test("is followed over lines that are written in pieces", () => {
    const tail = followMetrics(path, 0);
    appendFileSync(path, '{"step":1,"loss":4}\n{"step":2,"lo');
    expect(tail.poll()).toMatchObject({ step: 1, loss: 4 });
    appendFileSync(path, 'ss":3}\n');
    expect(tail.poll()).toMatchObject({ step: 2, loss: 3 });
  });

  test("shows the last step, and keeps the highest, when a resumed run repeats some", () => {
    const tail = followMetrics(path, 0);
    appendFileSync(path, '{"step":7,"loss":1}\n{"step":5,"loss":2}\n');
    expect(tail.poll()).toMatchObject({ step: 5, loss: 2 });
    expect(tail.highestStep()).toBe(7);
  });

  test("is read from the run's own beginning, and from the start when it was emptied", () => {
    writeFileSync(path, '{"step":900,"loss":1}\n');
    const tail = followMetrics(path, 22);
    expect(tail.poll()).toBeUndefined();
    writeFileSync(path, '{"step":1}\n');
    expect(tail.poll()).toMatchObject({ step: 1, loss: null });
  });

  test("is read in bounded memory: of a long one, the end", () => {
    writeFileSync(path, `${'{"step":1,"note":"x"}\n'.repeat(100_000)}{"step":2}\n`);
    expect(followMetrics(path, 0).poll()).toMatchObject({ step: 2, loss: null });
  });
});

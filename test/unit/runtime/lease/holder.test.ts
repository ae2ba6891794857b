import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { holderOf } from "../../../../runtime/lease/holder.ts";

test("a machine keeps its id over restarts, readable by its user alone", () => {
  const dir = mkdtempSync(join(tmpdir(), "vastlane-holder-"));
  try {
    const path = join(dir, ".vastlane", "agent-id");
    const first = holderOf(path, { contractId: 7, hostname: "C.7", pid: 1 });
    expect(first).toEqual({ id: expect.stringMatching(/^[0-9a-f-]{36}$/), contractId: 7, hostname: "C.7", pid: 1 });
    expect(readFileSync(path, "utf8")).toBe(`${first.id}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(holderOf(path, { contractId: 7, hostname: "C.7", pid: 2 })).toEqual({ ...first, pid: 2 });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

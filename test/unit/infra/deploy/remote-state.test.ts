import { expect, test } from "vitest";
import { parseProbe } from "../../../../infra/deploy/remote-state.ts";

const sum = "a".repeat(64);
const answer = `Welcome to vast.ai
@probe
workspace /workspace
now 1040
free 2000
rsync 3.2.7
store http://10.0.0.1:9000
state ${sum}  agent.mjs
@run
{"runId":"x"}

@manifest
${sum} 5 644 900 a b.py
@files
900 5 81a4 a b.py
901 3 a1ff link
902 4096 41ed folder
903 0 11a4 pipe
stat: garbage
@end
`;

test("the probe's answer becomes facts, run, record and files; a greeting in front of it is passed over", () => {
  const state = parseProbe(answer, 1000);
  expect(state).toMatchObject({ workspace: "/workspace", clockAhead: 40, freeBytes: 2_048_000, rsync: "3.2.7" });
  expect(state.emulatedStore).toBe("http://10.0.0.1:9000");
  expect(state.run).toEqual({ runId: "x" });
  expect(state.stateHashes.get("agent.mjs")).toBe(sum);
  expect(state.sent).toEqual([{ path: "a b.py", sha256: sum, size: 5, mode: 0o644, mtime: 900, isLink: false }]);
  expect(Object.fromEntries([...state.files].map(([path, { kind }]) => [path, kind]))).toEqual({
    "a b.py": "file",
    link: "link",
    folder: "folder",
    pipe: "other",
  });
});

test("what a fresh machine cannot tell is null or empty", () => {
  const state = parseProbe("@probe\nworkspace /w\nnow 5\nfree \n@run\n@manifest\n@files\n@end\n", 5);
  expect(state).toMatchObject({ freeBytes: null, rsync: null, emulatedStore: null, run: null, sent: [] });
});

test("an answer that is not the probe's is refused", () => {
  expect(() => parseProbe("Please log in on the console first\n", 5)).toThrow("not the probe's");
});

import fc from "fast-check";
import { expect, test } from "vitest";
import type { SentFile } from "../../../../common/sent-files.ts";
import type { ContentFile } from "../../../../infra/deploy/content.ts";
import { sentFile } from "../../../../infra/deploy/manifest.ts";
import { type PushSituation, planPush, type RemoteFile } from "../../../../infra/deploy/plan.ts";

const hash = (letter: string) => letter.repeat(64);
const here = (letter: string, mtime: number, extra: Partial<ContentFile> = {}): ContentFile => ({
  path: "a.py",
  size: letter.charCodeAt(0),
  mode: 0o644,
  link: null,
  mtime,
  sha256: hash(letter),
  ...extra,
});
const recorded = (letter: string, mtime: number): SentFile => sentFile(here(letter, mtime));
const there = (letter: string, mtime: number): RemoteFile => ({ size: letter.charCodeAt(0), mtime, kind: "file" });

interface Case {
  local?: ContentFile;
  sent?: SentFile[];
  remote?: RemoteFile;
  clockAhead?: number;
  hashes?: Record<string, string>;
}

function outcome({ local, sent = [], remote, clockAhead = 0, hashes = {} }: Case): string {
  const situation: PushSituation = {
    local: local ? [local] : [],
    sent,
    remote: new Map(remote ? [["a.py", remote]] : []),
    clockAhead,
    remoteHashes: new Map(Object.entries(hashes)),
  };
  const plan = planPush(situation);
  const parts = [
    plan.send.length > 0 && "send",
    plan.putAside.length > 0 && "put aside",
    plan.kept.length > 0 && "keep",
    plan.remove.length > 0 && "remove",
    plan.unchanged > 0 && "unchanged",
  ];
  return parts.filter(Boolean).join(", ") || "nothing";
}

test.each<[string, Case, string]>([
  ["a new file is sent", { local: here("A", 10) }, "send"],
  [
    "an unchanged file is not sent again",
    { local: here("A", 10), sent: [recorded("A", 10)], remote: there("A", 10) },
    "unchanged",
  ],
  [
    "a new time alone (git checkout) sends nothing",
    { local: here("A", 99), sent: [recorded("A", 10)], remote: there("A", 10) },
    "unchanged",
  ],
  [
    "a changed file is sent, though its time went back",
    { local: here("B", 5), sent: [recorded("A", 10)], remote: there("A", 10) },
    "send",
  ],
  [
    "a new executable bit is sent",
    { local: here("A", 10, { mode: 0o755 }), sent: [recorded("A", 10)], remote: there("A", 10) },
    "send",
  ],
  ["a file deleted there is sent again", { local: here("A", 10), sent: [recorded("A", 10)] }, "send"],
  [
    "a file edited there and unchanged here is kept",
    { local: here("A", 10), sent: [recorded("A", 10)], remote: there("X", 50) },
    "keep",
  ],
  [
    "it is kept though this side has a newer time",
    { local: here("A", 99), sent: [recorded("A", 10)], remote: there("X", 50) },
    "keep",
  ],
  [
    "edited on both sides, newer there: kept",
    { local: here("B", 20), sent: [recorded("A", 10)], remote: there("X", 50) },
    "keep",
  ],
  [
    "edited on both sides, newer here: put aside and sent",
    { local: here("B", 60), sent: [recorded("A", 10)], remote: there("X", 50) },
    "send, put aside",
  ],
  [
    "a clock that is ahead there is taken into account",
    { local: here("B", 20), sent: [recorded("A", 10)], remote: there("X", 50), clockAhead: 40 },
    "send, put aside",
  ],
  ["an unknown newer file there is kept", { local: here("A", 10), remote: there("X", 50) }, "keep"],
  ["an unknown older file there is put aside", { local: here("A", 50), remote: there("X", 10) }, "send, put aside"],
  ["the same size and time count as the same file", { local: here("A", 10), remote: there("A", 10) }, "unchanged"],
  [
    "the same content counts as the same file",
    { local: here("A", 10), remote: there("A", 77), hashes: { "a.py": hash("A") } },
    "unchanged",
  ],
  [
    "of a push that was cut off, both states are known",
    { local: here("C", 30), sent: [recorded("A", 10), recorded("B", 20)], remote: there("B", 20) },
    "send",
  ],
  [
    "a folder where a file should go is kept",
    { local: here("A", 10), remote: { kind: "folder", size: 1, mtime: 1 } },
    "keep",
  ],
  [
    "a link is known by its target's length alone",
    {
      local: here("A", 10, { link: "b" }),
      sent: [{ ...recorded("A", 10), isLink: true }],
      remote: { kind: "link", size: 65, mtime: 99 },
    },
    "unchanged",
  ],
  ["deleted here, untouched there: removed", { sent: [recorded("A", 10)], remote: there("A", 10) }, "remove"],
  ["deleted here, edited there: kept", { sent: [recorded("A", 10)], remote: there("X", 50) }, "keep"],
  ["deleted on both sides: nothing", { sent: [recorded("A", 10)] }, "nothing"],
])("%s", (_, situation, expected) => {
  expect(outcome(situation)).toBe(expected);
});

test("a file that is kept goes on looking edited, so the next push keeps it as well", () => {
  const local = [here("A", 10)];
  const remote = new Map([["a.py", there("X", 50)]]);
  const first = planPush({ local, sent: [recorded("A", 10)], remote, clockAhead: 0 });
  const second = planPush({ local, sent: first.manifest, remote, clockAhead: 0 });
  expect(second.kept).toEqual(["a.py"]);
});

test("whatever the situation, an edited file is never overwritten or removed without being put aside or named", () => {
  const letter = fc.constantFrom("A", "B", "C");
  const time = fc.integer({ min: 0, max: 5 });
  fc.assert(
    fc.property(
      fc.option(fc.tuple(letter, time), { nil: undefined }),
      fc.array(fc.tuple(letter, time), { maxLength: 2 }),
      letter,
      time,
      fc.integer({ min: -3, max: 3 }),
      (local, sent, remoteLetter, remoteTime, clockAhead) => {
        const records = sent.map(([l, t]) => recorded(l, t));
        const remote = there(remoteLetter, remoteTime);
        const plan = planPush({
          local: local ? [here(...local)] : [],
          sent: records,
          remote: new Map([["a.py", remote]]),
          clockAhead,
        });
        const isTouched = plan.send.length + plan.remove.length > 0;
        const isAsWeLeftIt = records.some((r) => r.size === remote.size && r.mtime === remote.mtime);
        if (isTouched && !isAsWeLeftIt) expect(plan.putAside).toEqual(["a.py"]);
      },
    ),
  );
});

test("after a push whose record was written, a second one has nothing to do", () => {
  const files = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-e]{1,3}$/), fc.constantFrom("A", "B"), fc.nat(9)), {
    selector: ([path]) => path,
  });
  fc.assert(
    fc.property(files, (list) => {
      const local = list.map(([path, letter, mtime]) => here(letter, mtime, { path }));
      const first = planPush({ local, sent: [], remote: new Map(), clockAhead: 0 });
      const remote = new Map(local.map(({ path, size, mtime }) => [path, { size, mtime, kind: "file" as const }]));
      const second = planPush({ local, sent: first.manifest, remote, clockAhead: 0 });
      expect(second).toMatchObject({ send: [], remove: [], kept: [], unchanged: local.length });
    }),
  );
});

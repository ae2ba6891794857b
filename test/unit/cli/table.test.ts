import { expect, test } from "vitest";
import { bytes, duration, renderTable, usd } from "../../../cli/table.ts";

test("columns are as wide as their longest cell, numbers to the right, nothing behind the last", () => {
  const text = renderTable<{ name: string; price: number; note: string }>(
    [
      { title: "NAME", value: ({ name }) => name },
      { title: "$/h", value: ({ price }) => price.toFixed(2), align: "right" },
      { title: "NOTE", value: ({ note }) => note },
    ],
    [
      { name: "main", price: 0.2, note: "runs" },
      { name: "node10", price: 12.25, note: "" },
    ],
  );
  expect(text).toBe("NAME      $/h  NOTE\nmain     0.20  runs\nnode10  12.25\n");
});

test("no rows leave the titles", () => {
  expect(renderTable([{ title: "A", value: () => "" }], [])).toBe("A\n");
});

test.each([
  [0, "0 s"],
  [-5, "0 s"],
  [0.4, "0 s"],
  [59.6, "1 min"],
  [63, "1 min 3 s"],
  [3600, "1 h"],
  [7530, "2 h 5 min"],
  [3601, "1 h"],
  [273_600, "3 d 4 h"],
  [86_400 * 400, "400 d"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test.each([
  [1.234, "$1.23"],
  [12, "$12.00"],
  [0.25, "$0.250"],
  [0.0123, "$0.012"],
  [0.00123, "$0.0012"],
  [0, "$0.0000"],
  [-0.5, "$-0.500"],
])("%d is %s", (amount, text) => {
  expect(usd(amount)).toBe(text);
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1_610_612_736, "1.5 GiB"],
  [5 * 1024 ** 5, "5120.0 TiB"],
])("%i bytes are %s", (count, text) => {
  expect(bytes(count)).toBe(text);
});

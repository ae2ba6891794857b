import { expect, test } from "vitest";
import { readStored } from "../../../common/stored-json.ts";

test("gives the fields of this format and of older ones", () => {
  expect(readStored("x.json", '{"format":1,"a":2}')).toEqual({ fields: { format: 1, a: 2 } });
  expect(readStored("x.json", Buffer.from('{"format":0}'))).toEqual({ fields: { format: 0 } });
});

test.each([
  ["", "it is not JSON"],
  ['{"format":1', "it is not JSON"],
  ["[1]", "it is not an object"],
  ["null", "it is not an object"],
  ['{"a":1}', "it has no format"],
  ['{"format":"1"}', "it has no format"],
])("says what is wrong with %j", (text, damaged) => {
  expect(readStored("x.json", text)).toEqual({ damaged });
});

test("refuses a newer format, whatever else is in it", () => {
  expect(() => readStored("x.json", '{"format":7}')).toThrow(
    "VL_CHECKPOINT_BAD: x.json was written by a newer vastlane.\n  why: its format is 7; this vastlane knows 1",
  );
});

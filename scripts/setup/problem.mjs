/** Failures of the stage that runs before any package is there; printed like common/errors.ts prints a UserError. */

export class Problem extends Error {
  /**
   * @param {string} code
   * @param {{ what: string, why: string, hint: string }} text
   */
  constructor(code, { what, why, hint }) {
    const indent = (/** @type {string} */ text) => text.replaceAll("\n", "\n       ");
    super(`${code}: ${what}\n  why: ${indent(why)}\n  do:  ${indent(hint)}`);
    this.code = code;
  }
}

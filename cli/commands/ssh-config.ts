/** `vastlane ssh-config install|remove|show`: the one line of ours in `~/.ssh/config`. */
import { homedir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import { includeLine, installInclude, removeInclude } from "../../infra/ssh/config-file.ts";
import { withInclude } from "../../infra/ssh/include-line.ts";
import { type Command, EXIT } from "../command.ts";

export const sshConfigCommand: Command = {
  name: "ssh-config",
  summary: "adds or removes the line in ~/.ssh/config that makes `ssh vastlane-<stack>` work",
  usage: `vastlane ssh-config install|remove|show [--json]

  install  puts one Include line first in ~/.ssh/config; the file as it was is kept beside it
  remove   takes that line out again; the rest stays byte for byte
  show     prints the line, and whether it is in effect
`,
  async run(args, io) {
    const home = io.env.HOME ?? homedir();
    const [action, ...rest] = args.filter((arg) => arg !== "--json");
    const json = args.includes("--json");
    if (rest.length > 0 || !["install", "remove", "show"].includes(action ?? "")) {
      throw new UserError("VL_USAGE", {
        what: `ssh-config knows install, remove and show, not ${JSON.stringify(args.join(" "))}`,
        hint: "vastlane ssh-config install",
      });
    }
    const changed = action === "install" ? installInclude(home) : action === "remove" ? removeInclude(home) : false;
    const file = join(home, ".ssh", "config");
    const text = readFileIfThere(file);
    const installed = text !== undefined && withInclude(text, includeLine(home)) === text;
    if (json) {
      io.stdout(`${JSON.stringify({ file, line: includeLine(home), installed, changed })}\n`);
    } else {
      const is = changed ? (installed ? "was added to" : "was removed from") : installed ? "is in" : "is not in";
      io.stdout(`This line ${is} ${file}:\n  ${includeLine(home)}\n`);
    }
    return EXIT.done;
  },
};

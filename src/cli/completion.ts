/** Shell completion, printed from the tree of commands, so that it knows what --help knows. */
import { Argument, type Command } from "commander";

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .addArgument(new Argument("<shell>", "the shell to complete for").choices(["bash"]))
    .description("print shell completion: source <(podway completion bash)")
    .action(() => void process.stdout.write(bashCompletion(program)));
}

/** Words that may follow each path of commands (`""`, `" lab"`, `" lab up"`). */
function wordsByPath(command: Command, path = ""): readonly (readonly [string, readonly string[]])[] {
  const options = [...command.options, ...(command.parent?.options ?? [])].flatMap(({ long }) => (long ? [long] : []));
  const here: readonly [string, readonly string[]] = [path, [...command.commands.map((child) => child.name()), ...new Set(options)]];
  return [here, ...command.commands.flatMap((child) => wordsByPath(child, `${path} ${child.name()}`))];
}

function bashCompletion(program: Command): string {
  const rows = wordsByPath(program);
  const paths = rows.filter(([path]) => path !== "").map(([path]) => `"${path}"`);
  return `# bash completion for podway
_podway() {
  local word path="" words="" current="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
      ${paths.join("|")}) path="$path $word" ;;
    esac
  done
  case "$path" in
${rows.map(([path, words]) => `    "${path}") words="${words.join(" ")}" ;;`).join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _podway podway
`;
}

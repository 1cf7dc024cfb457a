/** Octets written as people read them: hexadecimal, blanks and colons where they help. */
export function octets(hex: string): Uint8Array {
  const digits = hex.replace(/[\s:]/g, "");
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

const marker = "ff".repeat(16);

/** A whole message: header in front of the body. */
export function message(type: number, body: string): Uint8Array {
  const inside = octets(body);
  return octets(`${marker} ${(19 + inside.length).toString(16).padStart(4, "0")} ${type.toString(16).padStart(2, "0")} ${hex(inside)}`);
}

import { readFileSync } from 'node:fs';

/** What a guest runs to call home: POSIX sh with curl, or else python3. The boot string lies beside it. */
export const checkInScript = readFileSync(new URL('./check-in.sh', import.meta.url), 'utf8');

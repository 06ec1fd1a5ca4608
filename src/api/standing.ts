import { DomainError } from '../domain/failure.ts';
import { noProvider } from '../providers/lacking.ts';
import type { StandingMachine } from '../domain/inventory.ts';
import type { Standing } from '../providers/provider.ts';
import type { ApiDeps } from './deps.ts';

type Deps = Pick<ApiDeps, 'standing' | 'providers'>;

/** @throws DomainError NotFound, InvalidRequest (the provider makes its machines) */
function standingOf({ standing, providers }: Deps, provider: string): Standing {
  const found = standing(provider);
  if (found) return found;
  if (!providers.includes(provider)) throw noProvider(provider, providers);
  const hint = 'slipway machine list';
  throw new DomainError('InvalidRequest', `Provider ${provider} makes its machines; it has no inventory.`, { hint });
}

export const listStanding = (deps: Deps, provider: string, signal: AbortSignal): Promise<readonly StandingMachine[]> =>
  standingOf(deps, provider).list(signal);

/** @throws DomainError NotFound, InvalidRequest (it is not out of use), and what keeps us from the machine */
export const putBack = (deps: Deps, provider: string, machine: string, signal: AbortSignal): Promise<StandingMachine> =>
  standingOf(deps, provider).putBack(machine, signal);

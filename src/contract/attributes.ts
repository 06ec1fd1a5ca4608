import { defineSearchAttributeKey, SearchAttributeType, type SearchAttributePair } from '@temporalio/common';

/** The search attributes, typed. */
export const attribute = {
  state: defineSearchAttributeKey('SlipwayState', SearchAttributeType.KEYWORD),
  bundle: defineSearchAttributeKey('SlipwayBundle', SearchAttributeType.KEYWORD),
  provider: defineSearchAttributeKey('SlipwayProvider', SearchAttributeType.KEYWORD),
  lease: defineSearchAttributeKey('SlipwayLease', SearchAttributeType.KEYWORD),
  owner: defineSearchAttributeKey('SlipwayOwner', SearchAttributeType.KEYWORD),
};

/** What people list by, in the Temporal UI and with `slipway lease list`. */
export const attributesOf = (values: Partial<Record<keyof typeof attribute, string>>): SearchAttributePair[] =>
  (Object.keys(values) as (keyof typeof attribute)[]).flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [{ key: attribute[name], value }];
  });

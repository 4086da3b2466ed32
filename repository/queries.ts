import knex from 'knex'

/**
 * Builds queries whose filters vary; it has no connection, `toSQL().toNative()` goes through our own transaction
 * (docs/decisions/0011). Fixed statements are written out as SQL.
 */
export const queries = knex({ client: 'pg' })

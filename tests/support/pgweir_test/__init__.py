"""What the end-to-end tests stand on: private PostgreSQL clusters, the proxy under test, a raw wire client.

Environment
  PGWEIR_BIN       the binary under test. `direct` takes it out of the way (the tests talk to PostgreSQL), a
                   path that ends in `pgbouncer` runs PgBouncer in its place: both prove the harness.
  PGWEIR_TEST_TMP  where clusters and logs live; default: a new directory under /tmp.
  PGWEIR_TEST_KEEP keep that new directory for a look afterwards.
  PGWEIR_TEST_SLOW set when the binary is a sanitizer build: deadlines are longer, sizes smaller.
"""

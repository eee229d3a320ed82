"""Data migrations, one module each with `MIGRATION = DataMigration(...)`; see `weft.db.data_definitions`."""

// The PostgreSQL JDBC driver doing what an application does. Run it as a single source file:
//   java -cp /usr/share/java/postgresql.jar Crud.java jdbc:postgresql://host:port/database?user=...
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

public class Crud {
	static final String TABLE = "jdbc_item_" + ProcessHandle.current().pid();

	static void check(boolean ok, String what) {
		if (!ok) throw new AssertionError(what);
	}

	static String name(Connection db, int id) throws SQLException {
		try (PreparedStatement read = db.prepareStatement("SELECT name FROM " + TABLE + " WHERE id = ?")) {
			read.setInt(1, id);
			try (ResultSet rows = read.executeQuery()) {
				return rows.next() ? rows.getString(1) : null;
			}
		}
	}

	static void crud(Connection db) throws SQLException {
		int id;
		try (PreparedStatement insert = db.prepareStatement(
				"INSERT INTO " + TABLE + " (name, price) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
			insert.setString(1, "weir");
			insert.setBigDecimal(2, new BigDecimal("12.50"));
			check(insert.executeUpdate() == 1, "insert");
			ResultSet keys = insert.getGeneratedKeys();
			keys.next();
			id = keys.getInt(1);
		}
		try (PreparedStatement update = db.prepareStatement("UPDATE " + TABLE + " SET name = ? WHERE id = ?")) {
			for (int i = 0; i < 20; i++) { // over prepareThreshold: unnamed first, then a server-side statement
				update.setString(1, "weir " + i);
				update.setInt(2, id);
				check(update.executeUpdate() == 1, "update");
				check(("weir " + i).equals(name(db, id)), "read " + i);
			}
		}
		try (PreparedStatement delete = db.prepareStatement("DELETE FROM " + TABLE + " WHERE id = ?")) {
			delete.setInt(1, id);
			check(delete.executeUpdate() == 1, "delete");
		}
		check(name(db, id) == null, "deleted");
	}

	static void batches(Connection db) throws SQLException {
		try (PreparedStatement insert = db.prepareStatement("INSERT INTO " + TABLE + " (name) VALUES (?)")) {
			for (int i = 0; i < 300; i++) {
				insert.setString(1, "batch " + i);
				insert.addBatch();
			}
			check(insert.executeBatch().length == 300, "batch");
		}
	}

	static void transactions(Connection db) throws SQLException {
		db.setAutoCommit(false);
		try (Statement any = db.createStatement()) {
			any.executeUpdate("INSERT INTO " + TABLE + " (id, name) VALUES (5000, 'gone')");
			check("gone".equals(name(db, 5000)), "own write");
			db.rollback();
			check(name(db, 5000) == null, "rolled back");
			try {
				any.executeQuery("SELECT 1/0");
				check(false, "no error");
			} catch (SQLException expected) {
				check("22012".equals(expected.getSQLState()), expected.getSQLState());
			}
			db.rollback();
			any.setFetchSize(50); // a portal with a row limit
			int n = 0;
			try (ResultSet rows = any.executeQuery("SELECT i FROM generate_series(1, 1000) i")) {
				while (rows.next()) n += rows.getInt(1);
			}
			check(n == 500500, "cursor");
			db.commit();
		}
		db.setAutoCommit(true);
	}

	public static void main(String[] args) throws Exception {
		for (String more : new String[] {"", "&prepareThreshold=1", "&prepareThreshold=0", "&preferQueryMode=simple",
				"&binaryTransfer=true&prepareThreshold=-1", "&autosave=always", "&reWriteBatchedInserts=true"}) {
			try (Connection db = DriverManager.getConnection(args[0] + more, new Properties());
					Statement any = db.createStatement()) {
				any.execute("CREATE TABLE " + TABLE + " (id serial PRIMARY KEY, name text, price numeric(10, 2))");
				try {
					crud(db);
					batches(db);
					transactions(db);
				} finally {
					any.execute("DROP TABLE " + TABLE);
				}
			} catch (Throwable error) {
				throw new Exception("with " + more, error);
			}
		}
		System.out.println("ok");
	}
}

// The console by JDBC: simple and extended protocol, prepared on the server, with a fetch size. See test_monitors.py.
//   java -cp /usr/share/java/postgresql.jar Console.java
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Console {
	static void check(boolean holds, Object what) {
		if (!holds) throw new AssertionError(what);
	}

	static void ask(Connection conn) throws SQLException {
		for (int turn = 0; turn < 7; turn++) {
			try (PreparedStatement statement = conn.prepareStatement("SHOW POOLS"); ResultSet rows = statement.executeQuery()) {
				int found = 0;
				for (; rows.next(); found++) check(rows.getInt("cl_active") >= 0 && !rows.getString("database").isEmpty(), "a pool");
				check(found >= 2, "pools");
			}
		}
		try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery("SHOW STATS")) {
			check(rows.next() && rows.getBigDecimal("total_xact_count").signum() >= 0, "stats");
		}
		try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery("SHOW VERSION")) {
			check(rows.next() && rows.getString(1).startsWith("PgBouncer "), "version");
		}
		try (Statement statement = conn.createStatement()) {
			statement.execute("SHOW nonsense");
			check(false, "nonsense is known");
		} catch (SQLException error) {
			check("42601".equals(error.getSQLState()), error);
		}
	}

	public static void main(String[] args) throws Exception {
		String url = "jdbc:" + System.getenv("DATABASE_URL");
		for (String mode : new String[] {"", "&prepareThreshold=1", "&preferQueryMode=simple", "&preferQueryMode=extendedCacheEverything", "&binaryTransfer=true&prepareThreshold=-1"}) {
			try (Connection conn = DriverManager.getConnection(url + mode)) {
				ask(conn);
				conn.setAutoCommit(false);
				try (PreparedStatement statement = conn.prepareStatement("SHOW CONFIG")) {
					statement.setFetchSize(10);
					int found = 0;
					try (ResultSet rows = statement.executeQuery()) {
						while (rows.next()) found++;
					}
					check(found > 60, found);
				}
				conn.commit();
				conn.setAutoCommit(true);
				try (Statement statement = conn.createStatement()) {
					statement.execute("PAUSE postgres");
					statement.execute("RESUME postgres");
				}
			}
		}
		System.out.println("ok");
	}
}

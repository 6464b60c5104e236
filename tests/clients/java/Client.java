// The PostgreSQL JDBC driver, in its modes: unnamed statements, named from the first or the fifth use, simple queries, savepoints
// of its own. Run as a single source file: java -cp /usr/share/java/postgresql.jar Client.java. See test_clients.py.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class Client {
	interface Step { void run() throws Exception; }
	interface Call { void run() throws SQLException; }

	static final String[] ZONES = {"UTC", "Europe/Berlin", "Asia/Tokyo", "America/Lima"};
	static final String[] MODES = {"", "&prepareThreshold=1", "&preferQueryMode=simple", "&binaryTransfer=true&prepareThreshold=-1&autosave=always"};
	static final Map<String, String> WRONG = Map.of("23505", "INSERT INTO item (id, name) VALUES (1, 'twice')", "42P01", "SELECT * FROM nope", "22012", "SELECT 1/0");
	static final List<Connection> conns = new ArrayList<>();
	static String base;

	static void check(boolean holds, Object what) {
		if (!holds) throw new AssertionError(what);
	}

	static void fails(String state, Call call) throws SQLException {
		try {
			call.run();
		} catch (SQLException error) {
			if (!state.equals(error.getSQLState())) throw error;
			return;
		}
		throw new AssertionError("no error " + state);
	}

	static int run(Connection conn, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = conn.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
			statement.execute();
			return statement.getUpdateCount();
		}
	}

	static String value(Connection conn, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = conn.prepareStatement(sql)) {
			for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
			try (ResultSet rows = statement.executeQuery()) {
				return rows.next() ? rows.getString(1) : "-";
			}
		}
	}

	static String name(Connection conn, int row) throws SQLException {
		return value(conn, "SELECT name FROM item WHERE id = ?", row);
	}

	static void connect() throws SQLException {
		String user = System.getenv("DATABASE_URL").replaceFirst(".*//(\\w+)@.*", "$1");
		base = System.getenv("DATABASE_URL").replaceFirst("(.*//)\\w+@", "jdbc:postgresql://") + "?user=" + user;
		for (String mode : MODES) {
			conns.add(DriverManager.getConnection(base + mode));
			check(conns.get(conns.size() - 1).isValid(10), mode);
		}
	}

	static void settings() throws SQLException {
		for (int i = 0; i < 4; i++) run(conns.get(i), "SET TimeZone TO '" + ZONES[i] + "'");
		for (int turn = 0; turn < 3; turn++)
			for (int i = 0; i < 4; i++) check(value(conns.get(i), "SHOW TimeZone").equals(ZONES[i]), ZONES[i]);
	}

	static void crud() throws SQLException {
		for (Connection conn : conns) {
			for (String text : new String[] {"it's \\ ü", "ü".repeat(150_000)}) {
				int row;
				try (PreparedStatement insert = conn.prepareStatement("INSERT INTO item (name, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
					insert.setString(1, text);
					insert.setObject(2, null);
					check(insert.executeUpdate() == 1, "insert");
					ResultSet keys = insert.getGeneratedKeys();
					keys.next();
					row = keys.getInt(1);
				}
				check(name(conn, row).equals(text), "read");
				for (int i = 0; i < 8; i++) { // past prepareThreshold
					check(run(conn, "UPDATE item SET name = ? WHERE id = ?", "new " + i, row) == 1, "update");
					check(name(conn, row).equals("new " + i), "updated");
				}
				check(run(conn, "DELETE FROM item WHERE id = ?", row) == 1, "delete");
				check(name(conn, row).equals("-"), "deleted");
			}
		}
		for (String more : new String[] {"", "&reWriteBatchedInserts=true"}) {
			try (Connection conn = DriverManager.getConnection(base + more);
					PreparedStatement insert = conn.prepareStatement("INSERT INTO item (name) VALUES (?)")) {
				for (int i = 0; i < 300; i++) {
					insert.setString(1, "batch");
					insert.addBatch();
				}
				check(insert.executeBatch().length == 300, "batch");
				check(run(conn, "DELETE FROM item WHERE name = 'batch'") == 300, "of 300");
			}
		}
		check(conns.get(0).getMetaData().getPrimaryKeys(null, "public", "item").next(), "metadata");
	}

	static void transactions() throws SQLException {
		Connection two = conns.get(1);
		for (Connection one : new Connection[] {conns.get(0), conns.get(2), conns.get(3)}) {
			one.setAutoCommit(false);
			run(one, "INSERT INTO item (id, name) VALUES (600, 'a')");
			check(name(two, 600).equals("-"), "not yet");
			Savepoint savepoint = one.setSavepoint();
			run(one, "UPDATE item SET name = 'b' WHERE id = 600");
			one.rollback(savepoint);
			one.commit();
			check(name(two, 600).equals("a"), "committed");
			one.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
			run(one, "DELETE FROM item WHERE id = 600");
			one.rollback();
			check(name(two, 600).equals("a"), "rolled back");
			one.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
			try (Statement any = one.createStatement()) { // a portal with a row limit
				any.setFetchSize(50);
				int sum = 0;
				try (ResultSet rows = any.executeQuery("SELECT i FROM generate_series(1, 1000) i")) {
					while (rows.next()) sum += rows.getInt(1);
				}
				check(sum == 500500, "cursor");
			}
			run(one, "DELETE FROM item WHERE id = 600");
			one.commit();
			one.setAutoCommit(true);
		}
	}

	/** S_1 and on, on every connection. */
	static void prepared() throws SQLException {
		List<PreparedStatement> made = new ArrayList<>();
		for (int i = 0; i < 4; i++) made.add(conns.get(i).prepareStatement("SELECT ?::int + " + i));
		for (int turn = 0; turn < 12; turn++) {
			for (int i = 0; i < 4; i++) {
				made.get(i).setInt(1, turn);
				ResultSet rows = made.get(i).executeQuery();
				rows.next();
				check(rows.getInt(1) == turn + i, "another's statement");
			}
		}
	}

	static void errors() throws SQLException {
		for (Connection conn : conns) {
			for (Map.Entry<String, String> one : WRONG.entrySet()) fails(one.getKey(), () -> run(conn, one.getValue()));
			conn.setAutoCommit(false);
			fails("22012", () -> run(conn, "SELECT 1 / ?::int", 0));
			if (conn != conns.get(3)) fails("25P02", () -> run(conn, "SELECT 1"));
			else check(value(conn, "SELECT 1").equals("1"), "rolled back to the driver's savepoint");
			conn.rollback();
			conn.setAutoCommit(true);
			check(name(conn, 1).equals("item 1"), "lives on");
		}
	}

	static void timeout() throws SQLException {
		run(conns.get(0), "SET statement_timeout = 100");
		fails("57014", () -> run(conns.get(0), "SELECT pg_sleep(30)"));
		check(value(conns.get(1), "SHOW statement_timeout").equals("0"), "another's");
		run(conns.get(0), "RESET statement_timeout");
	}

	static void cancel() throws SQLException {
		for (Connection conn : conns) {
			try (Statement slow = conn.createStatement()) {
				slow.setQueryTimeout(1);
				fails("57014", () -> slow.execute("SELECT pg_sleep(30)"));
			}
			check(name(conn, 1).equals("item 1"), "lives on");
		}
	}

	static void copy() throws Exception {
		Connection conn = conns.get(2);
		CopyManager copies = conn.unwrap(PGConnection.class).getCopyAPI();
		StringBuilder rows = new StringBuilder();
		for (int i = 10000; i < 15000; i++) rows.append(i).append("\tcopied\n");
		check(copies.copyIn("COPY item (id, name) FROM STDIN", new StringReader(rows.toString())) == 5000, "in");
		StringWriter got = new StringWriter();
		copies.copyOut("COPY (SELECT id, name FROM item WHERE id >= 10000 ORDER BY id) TO STDOUT", got);
		check(got.toString().contentEquals(rows), "out");
		fails("22P02", () -> {
			try {
				copies.copyIn("COPY item (id, name) FROM STDIN", new StringReader("x\ty\n"));
			} catch (java.io.IOException error) {
				throw new SQLException(error);
			}
		});
		run(conn, "DELETE FROM item WHERE id >= 10000");
	}

	static void listen() throws SQLException {
		run(conns.get(0), "LISTEN channel");
		run(conns.get(1), "NOTIFY channel, 'hello'");
		check(conns.get(0).unwrap(PGConnection.class).getNotifications(20_000)[0].getParameter().equals("hello"), "heard");
		run(conns.get(0), "UNLISTEN *");
	}

	public static void main(String[] args) throws Exception {
		Map<String, Step> steps = new LinkedHashMap<>();
		steps.put("connect", Client::connect);
		steps.put("settings", Client::settings);
		steps.put("crud", Client::crud);
		steps.put("transactions", Client::transactions);
		steps.put("prepared", Client::prepared);
		steps.put("errors", Client::errors);
		steps.put("timeout", Client::timeout);
		steps.put("cancel", Client::cancel);
		steps.put("copy", Client::copy);
		steps.put("listen", Client::listen);
		for (Map.Entry<String, Step> step : steps.entrySet()) {
			step.getValue().run();
			System.out.println("ok " + step.getKey());
		}
		System.out.println("serve");
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null; ) {
			String[] word = line.split(" ");
			Connection conn = conns.get(Integer.parseInt(word[1]));
			int row = Integer.parseInt(word[2]);
			if (word[0].equals("get")) {
				System.out.println(name(conn, row));
			} else {
				run(conn, "UPDATE item SET name = ? WHERE id = ?", word[3], row);
				System.out.println("done");
			}
		}
		for (Connection conn : conns) conn.close();
	}
}

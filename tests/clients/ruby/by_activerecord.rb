# ActiveRecord 6.1: four SETs on each connection, statements a1, a2, .. that differ between connections, BEGIN around every save.
require 'active_record'
require_relative 'below'
require_relative 'steps'

ActiveRecord::Base.establish_connection("#{URL}?pool=8")
ActiveRecord::Migration.verbose = false

class Item < ActiveRecord::Base
  self.table_name = 'item'
  has_many :parts, foreign_key: :item_id, dependent: :destroy
  validates :n, uniqueness: true, allow_nil: true
end

class Part < ActiveRecord::Base
  self.table_name = 'part'
  belongs_to :item
end

# A thread has a connection of its own; these stay for the whole run.
class Worker
  def initialize
    @todo, @done = Queue.new, Queue.new
    Thread.new do
      while (work = @todo.pop)
        @done << begin
          [work.call, nil]
        rescue StandardError => e
          [nil, e]
        end
      end
    end
  end

  def do(&work)
    @todo << work
    value, error = @done.pop
    raise error if error

    value
  end
end

WORKERS = ZONES.map { Worker.new }

def db
  ActiveRecord::Base.connection
end

def step_connect
  db.create_table(:part) do |t|
    t.integer :item_id
    t.jsonb :data
    t.integer :lock_version, null: false, default: 0
    t.timestamps
  end
  check(WORKERS.map { |worker| worker.do { db.select_value('SELECT 1') } } == [1] * 4)
end

def step_settings
  ZONES.each_with_index { |zone, i| WORKERS[i].do { db.execute("SET TimeZone TO '#{zone}'") } }
  3.times { check(WORKERS.map { |worker| worker.do { db.select_value('SHOW TimeZone') } } == ZONES) }
  check(WORKERS.map { |worker| worker.do { db.select_value('SHOW intervalstyle') } } == ['iso_8601'] * 4)
end

def step_crud
  WORKERS.each do |worker|
    worker.do do
      ["it's \\ ü", LONG].each do |text|
        item = Item.create!(name: text)
        check(Item.find(item.id).name == text, 'read')
        item.update!(name: 'new')
        check(Item.find(item.id).name == 'new')
        item.destroy!
        check(Item.find_by(id: item.id).nil?)
      end
    end
  end
  Item.insert_all((500...520).map { |i| { id: i, name: 'v' } })
  check(Item.where(name: 'v').count == 20)
  check(Item.where(id: [501, 502]).order(:id).pluck(:id) == [501, 502])
  seen = []
  Item.where(name: 'v').find_each(batch_size: 7) { |item| seen << item.id }
  check(seen == (500...520).to_a, 'in batches')
  item = Item.create!(name: 'parent', n: 7, parts: [Part.new(data: { k: 'é' }), Part.new])
  check(Item.includes(:parts).find(item.id).parts.size == 2)
  check(Item.eager_load(:parts).find(item.id).parts.size == 2)
  check(Item.new(name: 'x', n: 7).invalid?, 'uniqueness')
  first, second = Part.where(item: item).first, Part.where(item: item).first
  first.update!(data: 1)
  begin
    second.update!(data: 2)
    check(false, 'the version was not seen')
  rescue ActiveRecord::StaleObjectError
    check(Part.find(second.id).data == 1)
  end
  Item.find(item.id).destroy!
  check(Part.count.zero?)
end

def step_transactions
  Item.transaction do
    Item.create!(id: 600, name: 'a')
    check(WORKERS[0].do { Item.find_by(id: 600) }.nil?, 'not yet')
    Item.transaction(requires_new: true) do
      Item.find(600).update!(name: 'b')
      raise ActiveRecord::Rollback
    end
  end
  check(WORKERS[0].do { Item.find(600).name } == 'a', 'committed')
  Item.transaction(isolation: :serializable) do
    Item.lock.find(600).destroy!
    raise ActiveRecord::Rollback
  end
  check(WORKERS[1].do { Item.find(600).name } == 'a', 'rolled back')
end

# a1, a2, .. count on each connection: the same name is another statement on the next.
def step_prepared
  4.times do |i|
    WORKERS[i].do { i.times { |n| Item.where('id > ?', n).where(id: n).to_a } }
  end
  8.times do |turn|
    WORKERS.each { |worker| worker.do { check(Item.find(1 + turn).name == "item #{1 + turn}") } }
    WORKERS.each { |worker| worker.do { check(Item.where(name: "item #{1 + turn}").pluck(:id) == [1 + turn]) } }
  end
end

def step_errors
  WORKERS.each do |worker|
    worker.do do
      { '23505' => "INSERT INTO item (id, name) VALUES (1, 'twice')", '42P01' => 'SELECT * FROM nope', '22012' => 'SELECT 1/0' }.each do |state, sql|
        fails(state) { db.execute(sql) }
      end
      begin
        Item.create!(id: 1, name: 'twice')
        check(false, 'twice')
      rescue ActiveRecord::RecordNotUnique
        check(Item.find(1).name == 'item 1')
      end
      Item.transaction do
        fails('22012') { db.execute('SELECT 1/0') }
        fails('25P02') { db.execute('SELECT 1') }
        raise ActiveRecord::Rollback
      end
    end
  end
end

def step_timeout
  WORKERS[0].do do
    db.execute('SET statement_timeout = 100')
    fails('57014') { db.execute('SELECT pg_sleep(30)') }
  end
  check(WORKERS[1].do { db.select_value('SHOW statement_timeout') } == '0')
  WORKERS[0].do { db.execute('RESET statement_timeout') }
end

def below
  WORKERS.first(2).map { |worker| worker.do { db.raw_connection } }
end

def step_cancel = cancels(below[0])

def step_copy = copies(below[1])

def step_listen = listens(*below)

# Migrations hold a session's advisory lock on a connection while they work on another.
def step_locks
  check(db.get_advisory_lock(42))
  check(WORKERS[0].do { db.get_advisory_lock(42) } == false)
  check(db.release_advisory_lock(42))
  check(WORKERS[0].do { db.get_advisory_lock(42) && db.release_advisory_lock(42) })
end

steps(*%w[connect settings crud transactions prepared errors timeout cancel copy listen])
step_locks
serve(->(conn, row) { WORKERS[conn].do { Item.find(row).name } },
      ->(conn, row, text) { WORKERS[conn].do { Item.find(row).update!(name: text) } })
